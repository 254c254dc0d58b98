"""From files to items: scan, plan, read, split, and keep the store equal to the folder."""

from mmrag.corpus.freshness import lag
from mmrag.corpus.keep_out import kept_out
from mmrag.corpus.readers import READERS, Detector, load_readers
from mmrag.corpus.readers.table_of_formats import rows_of
from mmrag.corpus.report import Progress, SyncReport, Trouble, troubles_of
from mmrag.corpus.sync import is_complete, sync
from mmrag.corpus.watch import Stop, changes

__all__ = [
    "READERS",
    "Detector",
    "Progress",
    "Stop",
    "SyncReport",
    "Trouble",
    "changes",
    "is_complete",
    "kept_out",
    "lag",
    "load_readers",
    "rows_of",
    "sync",
    "troubles_of",
]
