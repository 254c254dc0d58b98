"""What mmrag keeps on disk: catalog, vectors, blobs and derived indexes."""

from mmrag.store.records import Derived, SourceRecord, State, VerifyReport
from mmrag.store.store import Store
from mmrag.store.verify import verify
from mmrag.store.writer import Writer

__all__ = ["Derived", "SourceRecord", "State", "Store", "VerifyReport", "Writer", "verify"]
