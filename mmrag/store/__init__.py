"""What mmrag keeps on disk: catalog, vectors, blobs and derived indexes."""

from mmrag.store.exporting import export_store
from mmrag.store.forgetting import forget
from mmrag.store.importing import import_store
from mmrag.store.lookup import find_source
from mmrag.store.records import (
    CompactReport,
    Derived,
    ExportReport,
    ForgetReport,
    IndexState,
    Proof,
    SourceRecord,
    State,
    VerifyReport,
)
from mmrag.store.store import Store
from mmrag.store.verify import RowsOf, verify
from mmrag.store.writer import Writer

__all__ = [
    "CompactReport",
    "Derived",
    "ExportReport",
    "ForgetReport",
    "IndexState",
    "Proof",
    "RowsOf",
    "SourceRecord",
    "State",
    "Store",
    "VerifyReport",
    "Writer",
    "export_store",
    "find_source",
    "forget",
    "import_store",
    "verify",
]
