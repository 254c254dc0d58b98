"""From files to items: scan, plan, read, split, and keep the store equal to the folder."""

from mmrag.corpus.readers import READERS, detect
from mmrag.corpus.report import Progress, SyncReport, Trouble, troubles_of
from mmrag.corpus.sync import is_complete, staleness, sync

__all__ = [
    "READERS",
    "Progress",
    "SyncReport",
    "Trouble",
    "detect",
    "is_complete",
    "staleness",
    "sync",
    "troubles_of",
]
