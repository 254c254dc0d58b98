"""What a sync has to do: a pure comparison of the files that are there with what the store holds."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from mmrag.core.identity import digest_json
from mmrag.core.types import SourceId
from mmrag.corpus.scan import Found
from mmrag.store import SourceRecord


@dataclass(frozen=True, slots=True)
class Hashed:
    """A found file with its content's digest ('' when it could not be read)."""

    found: Found
    digest: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """How a source was read, as `SourceRecord.reader` spells it: 'pdf/1', 'pdf/1+ocr', 'word/1!docx?'.

    Args:
        ocr: A short digest of the engine where pictures are involved.
        again: The next sync must read the source once more, whatever its digest.
        needs: The package that was missing: a sync that finds it reads the source once more.
    """

    reader: str
    ocr: str = ""
    again: bool = False
    needs: str = ""

    def __str__(self) -> str:
        ocr = f"+{self.ocr}" if self.ocr else ""
        needs = f"!{self.needs}" if self.needs else ""
        return self.reader + ocr + needs + "?" * self.again

    @classmethod
    def of(cls, text: str) -> Stamp:
        """Read a stamp back."""
        read, _, needs = text.removesuffix("?").partition("!")
        reader, _, ocr = read.partition("+")
        return cls(reader, ocr, text.endswith("?"), needs)


@dataclass(frozen=True, slots=True)
class Versions:
    """What would read and split sources now.

    Args:
        readers: Media type to reader identity ("pdf/1").
        splitter: The splitter's identity.
        ocr: The identity of what looks at pictures, OCR and captioner, '' without any.
        arrived: The packages that some source needed and that are installed now.
    """

    readers: Mapping[str, str]
    splitter: str
    ocr: str = ""
    arrived: frozenset[str] = frozenset()

    @property
    def ocr_stamp(self) -> str:
        """The engine in a stamp: eight hex digits, or 'none'."""
        return digest_json(self.ocr)[:8] if self.ocr else "none"

    @property
    def unread(self) -> str:
        """The stamp of a source that no reader takes: it changes when the set of readers does."""
        return "none/" + digest_json(dict(self.readers))[:8]

    def outdated(self, record: SourceRecord) -> bool:
        """Tell whether a record's source would be read in another way now."""
        stamp = Stamp.of(record.reader)
        known = stamp.reader == self.readers.get(record.source.media_type) or stamp.reader == self.unread
        if not known or (stamp.ocr and stamp.ocr != self.ocr_stamp):
            return True
        return record.state in ("indexed", "partial") and record.splitter != self.splitter


@dataclass(frozen=True, slots=True)
class Move:
    """A file under a new path; `read` when its items may depend on more than its bytes."""

    old: SourceRecord
    new: Hashed
    read: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sync has to do, each list sorted by id.

    Args:
        added: New files.
        copied: New files whose content the store has under another path.
        changed: Files with another digest.
        moved: Files with the digest of one that is gone.
        removed: Records whose file is gone.
        upgraded: Files whose reader, splitter or OCR engine has another version.
        depends: Files that show another file which changed.
        retried: Files that could not be read for a reason outside them.
        touched: Files with the same digest and another time.
        blocked: Files that the scan could not reach.
        unchanged: How many files need nothing.
    """

    added: tuple[Hashed, ...] = ()
    copied: tuple[Hashed, ...] = ()
    changed: tuple[Hashed, ...] = ()
    moved: tuple[Move, ...] = ()
    removed: tuple[SourceId, ...] = ()
    upgraded: tuple[Hashed, ...] = ()
    depends: tuple[Hashed, ...] = ()
    retried: tuple[Hashed, ...] = ()
    touched: tuple[Hashed, ...] = ()
    blocked: tuple[Found, ...] = ()
    unchanged: int = 0

    @property
    def sources(self) -> dict[str, list[str]]:
        """The names in each list that holds any; a move as 'old -> new'."""
        lists = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "unchanged"}
        return {name: [_name(entry) for entry in entries] for name, entries in lists.items() if entries}

    @property
    def counts(self) -> dict[str, int]:
        """How many sources each list holds."""
        named = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value if isinstance(value, int) else len(value) for name, value in named.items()}

    @property
    def is_empty(self) -> bool:
        """Whether the store holds what the folder does."""
        return not any(count for name, count in self.counts.items() if name != "unchanged")

    @property
    def to_read(self) -> tuple[Hashed, ...]:
        """All files that must be read, sorted by id."""
        moved = tuple(move.new for move in self.moved if move.read)
        every = self.added + self.copied + self.changed + self.upgraded + self.depends + self.retried + moved
        return tuple(sorted(every, key=_id))


def make_plan(
    files: Sequence[Hashed],
    records: Sequence[SourceRecord],
    versions: Versions,
    depends: Mapping[str, str] | None = None,
) -> Plan:
    """Compare a folder with a store; the order of the arguments does not matter.

    Args:
        files: What is there.
        records: What the store holds.
        versions: What would read and split sources now.
        depends: Path to the present digest of each file that a record depends on.
    """
    present = {file.found.id: file for file in files}
    known = {record.source.id: record for record in records}
    lists: dict[str, list[Hashed]] = defaultdict(list)
    for file in sorted(files, key=_id):
        lists[_why(file, known.get(file.found.id), versions, depends or {})].append(file)
    gone = [known[source_id] for source_id in sorted(known.keys() - present.keys())]
    moves = _moves(lists["added"], gone, versions)
    arrived = {move.new.found.id for move in moves}
    left = {move.old.source.id for move in moves}
    kept = {
        record.source.digest
        for source_id, record in known.items()
        if source_id in present and present[source_id].digest == record.source.digest
    }
    new = [file for file in lists["added"] if file.found.id not in arrived]
    return Plan(
        added=tuple(file for file in new if file.digest not in kept),
        copied=tuple(file for file in new if file.digest in kept),
        changed=tuple(lists["changed"]),
        moved=tuple(moves),
        removed=tuple(record.source.id for record in gone if record.source.id not in left),
        upgraded=tuple(lists["upgraded"]),
        depends=tuple(lists["depends"]),
        retried=tuple(lists["retried"]),
        touched=tuple(lists["touched"]),
        blocked=tuple(file.found for file in lists["blocked"]),
        unchanged=len(lists["unchanged"]),
    )


def _why(file: Hashed, record: SourceRecord | None, versions: Versions, depends: Mapping[str, str]) -> str:
    problem = file.found.problem
    if problem:
        told = record and (record.state, record.reason) == (problem.state, problem.reason)
        return "unchanged" if told else "blocked"
    if record is None:
        return "added"
    if file.digest != record.source.digest:
        return "changed"
    stamp = Stamp.of(record.reader)
    if stamp.again or stamp.needs in versions.arrived:
        return "retried"
    if versions.outdated(record):
        return "upgraded"
    if any(depends.get(path, "") != digest for path, digest in record.depends.items()):
        return "depends"
    same = (file.found.size, file.found.mtime_ns) == (record.source.size, record.mtime_ns)
    return "unchanged" if same else "touched"


def _moves(new: Sequence[Hashed], gone: Sequence[SourceRecord], versions: Versions) -> list[Move]:
    """Pair new files with lost records of the same digest, files of the same name first.

    Empty files are not paired: nothing of them could be kept, and a Python tree is full of them.
    """
    files = [file for file in new if file.found.size]
    records = [record for record in gone if record.source.digest and record.source.size]
    moves: list[Move] = []
    for with_name in (True, False):
        lost: dict[tuple[str, str], deque[SourceRecord]] = defaultdict(deque)
        for record in records:
            lost[record.source.digest, record.source.name if with_name else ""].append(record)
        left = []
        for file in files:
            name = file.found.id.rpartition("/")[2]
            if same := lost.get((file.digest, name if with_name else "")):
                record = same.popleft()
                moves.append(Move(record, file, _must_read(record, name, versions)))
            else:
                left.append(file)
        files = left
        records = [record for same in lost.values() for record in same]
    return sorted(moves, key=lambda move: move.new.found.id)


def _must_read(record: SourceRecord, name: str, versions: Versions) -> bool:
    # The suffix chooses the reader, a picture is found by its name, and relative links move along.
    plain = record.state == "indexed" and not record.depends and record.source.name == name
    return not plain or Stamp.of(record.reader).again or versions.outdated(record)


def _id(file: Hashed) -> str:
    return file.found.id


def _name(entry: Hashed | Move | Found | SourceId) -> str:
    if isinstance(entry, Hashed):
        return entry.found.id
    if isinstance(entry, Move):
        return f"{entry.old.source.id} -> {entry.new.found.id}"
    return entry.id if isinstance(entry, Found) else entry
