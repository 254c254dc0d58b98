"""Read Parquet: the schema in words, a line or a record a row, and the pictures in binary columns."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from mmrag.core.errors import Corrupt, Encrypted, TooLarge
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import Block, Reading
from mmrag.core.types import Cells, Part, Place, Source
from mmrag.corpus.readers.figures import PictureShelf
from mmrag.corpus.readers.sentences import few_of
from mmrag.corpus.readers.tables.rows import is_wide, line_blocks, record_block

_BATCH_BYTES, _MAX_BATCH_ROWS = 16_000_000, 256
_BUFFER_BYTES = 1 << 20
_SAMPLE_ROWS = 100
_NAMED_COLUMNS, _TYPE_CHARS = 300, 80
_NEIGHBOUR_CHARS = 600
_PICTURE_SHARE = 0.5
"""Of `limits.max_output_bytes`; the rest is for words."""
_VECTOR_LENGTH = 16
_ENCRYPTED = b"PARE"
_NO_FRACTION = re.compile(r"\.0+(?=$|[+Z-])")
_PICTURE = re.compile(
    rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|RIFF.{4}WEBP|II[*+]\x00|MM\x00[*+]|BM.{4}\x00{4}", re.DOTALL
)


def read_parquet(path: Path, source: Source, context: ReadContext) -> Reading:
    """Read a Parquet file batch by batch; the names count as row 1.

    Raises:
        Corrupt: It is torn or no Parquet file.
        Encrypted: Its footer needs a key.
        TooLarge: It exceeds `limits.max_bytes`.
    """
    import pyarrow
    import pyarrow.parquet

    if source.size > context.limits.max_bytes:
        raise TooLarge(
            f"The file has {source.size} bytes, more than the limit of {context.limits.max_bytes}.",
            fix="Split it, or leave it out with a line in .mmragignore.",
            where=source.id,
        )
    with path.open("rb") as head:
        if head.read(len(_ENCRYPTED)) == _ENCRYPTED:
            raise Encrypted("The table needs a key.", fix="Save a copy without encryption.", where=source.id)
    try:
        # Without a buffer size a whole row group is read at once, and one can be the whole file.
        with pyarrow.parquet.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            return _Walk(file, source, context).reading()
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        said = " ".join(str(error).split())[:150]
        raise Corrupt(
            f"The Parquet file is broken ({said}).",
            fix="Restore it from its source, or write it again.",
            where=source.id,
        ) from error


@dataclass(slots=True)
class _Row:
    """A row's number, words and pictures with their names."""

    number: int
    cells: list[str] = field(default_factory=list)
    pictures: list[tuple[str, bytes]] = field(default_factory=list)


class _Walk:
    """Goes over the rows of an open file once."""

    def __init__(self, file: Any, source: Source, context: ReadContext) -> None:
        self._file = file
        self._limits = context.limits
        self._progress = context.progress
        self._names = [str(name) for name in file.schema_arrow.names]
        self._total = int(file.metadata.num_rows)
        self._shelf = PictureShelf(source, context)
        self._left_out: Counter[str] = Counter()
        self._pictures_left = 0
        self._picture_bytes = 0
        self._count = 0
        self._chars = 0

    def reading(self) -> Reading:
        rows = self._rows()
        sample = list(islice(rows, _SAMPLE_ROWS))
        said = [(row.number, row.cells) for row in sample]
        blocks = [_schema_block(self._file, self._names, self._total)]
        everything = chain(sample, rows)
        if is_wide(self._names, said) or any(row.pictures for row in sample):
            blocks += [block for row in everything for block in self._record(row)]
        else:
            figures: list[Block] = []
            blocks += line_blocks(self._names, 1, self._lines(everything, figures))
            blocks += figures
        return Reading(
            tuple(blocks),
            blobs=tuple(self._shelf.blobs.values()),
            problems=(*self._problems(), *self._shelf.problems()),
            metadata={"rows": self._total},
        )

    def _record(self, row: _Row) -> Iterator[Block]:
        if any(row.cells):
            yield record_block(self._names, (row.number, row.cells))
        yield from self._figures(row)

    def _lines(self, rows: Iterator[_Row], figures: list[Block]) -> Iterator[tuple[int, Sequence[str]]]:
        for row in rows:
            figures.extend(self._figures(row))
            if any(row.cells):
                yield row.number, row.cells

    def _figures(self, row: _Row) -> Iterator[Block]:
        """Yield a row's pictures; the rest of the row is what stands around them."""
        place = Cells("", row.number, row.number)
        for name, data in row.pictures:
            if self._picture_bytes + len(data) > _PICTURE_SHARE * self._limits.max_output_bytes:
                self._pictures_left += 1
                continue
            self._picture_bytes += len(data)
            if figure := self._shelf.picture(data, place, name=name or f"in row {row.number}"):
                around = record_block(self._names, (row.number, row.cells)).text if any(row.cells) else ""
                yield replace(figure, neighbours=around[:_NEIGHBOUR_CHARS])

    def _rows(self) -> Iterator[_Row]:
        packed = sum(
            self._file.metadata.row_group(i).total_byte_size for i in range(self._file.num_row_groups)
        )
        a_row = max(packed // max(self._total, 1), 1)
        size = int(min(max(_BATCH_BYTES // a_row, 1), _MAX_BATCH_ROWS))
        for batch in self._file.iter_batches(batch_size=size):
            rows = [_Row(self._count + i + 2) for i in range(batch.num_rows)]
            for i, name in enumerate(self._names):
                self._take(name, batch.column(i), rows)
            for row in rows:
                if self._count >= self._limits.max_rows or self._chars > self._limits.max_text_bytes:
                    return
                self._count += 1
                self._chars += sum(map(len, row.cells))
                yield row
            self._progress(self._count, self._total)

    def _take(self, name: str, column: Any, rows: Sequence[_Row]) -> None:
        """Add a column's values to the rows; what is neither words nor a picture is counted."""
        for row, value in zip(rows, _values(column), strict=True):
            pictures = _media(value)
            if pictures is None:
                row.cells.append("" if _is_vector(value) else _words(value))
                self._left_out[f"{name} (vectors)"] += _is_vector(value)
                continue
            said = []
            for given, data in pictures:
                if _PICTURE.match(data):
                    row.pictures.append((given, data))
                elif words := _text(data):
                    said.append(words)
                elif data:
                    self._left_out[f"{name} (binary)"] += 1
                if given:
                    said.append(given)
            row.cells.append(", ".join(said))

    def _problems(self) -> Iterator[str]:
        if self._count < self._total:
            too_long = self._chars > self._limits.max_text_bytes
            why = f": their words exceed {self._limits.max_text_bytes} bytes" if too_long else ""
            yield f"Only the first {self._count} of {self._total} rows were read{why}."
        if left := [name for name, count in self._left_out.items() if count]:
            yield f"Columns that were left out: {few_of(left)}."
        if self._pictures_left:
            yield f"{self._pictures_left} pictures were left out: all of them together are too large."


def _schema_block(file: Any, names: Sequence[str], rows: int) -> Block:
    kinds = [str(kind) for kind in file.schema_arrow.types]
    said = [
        f"{name} ({kind if len(kind) <= _TYPE_CHARS else kind[:_TYPE_CHARS] + '...'})"
        for name, kind in zip(names, kinds, strict=True)
    ]
    more = f" and {len(said) - _NAMED_COLUMNS} more" if len(said) > _NAMED_COLUMNS else ""
    columns = "column" if len(names) == 1 else "columns"
    text = f"A table of {rows} rows and {len(names)} {columns}: {', '.join(said[:_NAMED_COLUMNS])}{more}."
    where = Cells("", 1, 1)
    return Block("paragraph", where, (Part("text", text=text, places=(Place(0, len(text), where),)),))


def _values(column: Any) -> list[Any]:
    """Return a column's values; figures and times as Arrow writes them: exact, and without pandas."""
    import pyarrow

    kind = column.type
    plain = pyarrow.types.is_primitive(kind) or pyarrow.types.is_decimal(kind)
    try:
        if plain and not pyarrow.types.is_boolean(kind):
            said = column.cast(pyarrow.string()).to_pylist()
            if pyarrow.types.is_timestamp(kind):
                return [value and _NO_FRACTION.sub("", value) for value in said]
            return list(said)
        return list(column.to_pylist())
    except (pyarrow.ArrowException, ValueError, OverflowError):
        # Times beyond the year 9999, unknown time zones, strings that are not UTF-8.
        return [_shown(value) for value in column]


def _shown(scalar: Any) -> Any:
    import pyarrow

    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return scalar.as_buffer().to_pybytes().decode("utf-8", "replace")
    except (pyarrow.ArrowException, ValueError, OverflowError):
        return str(getattr(scalar, "value", ""))


def _media(value: Any) -> list[tuple[str, bytes]] | None:
    """Return the bytes in a value with their names, as `datasets` writes them too; None if it has none."""
    if isinstance(value, bytes):
        return [("", value)]
    if isinstance(value, dict) and value.keys() == {"bytes", "path"}:
        data, path = value["bytes"], value["path"]
        return [(str(path or ""), data if isinstance(data, bytes) else b"")]
    if isinstance(value, list) and value and isinstance(value[0], bytes | dict):
        found = [_media(one) for one in value]
        return None if None in found else [pair for pairs in found for pair in pairs or ()]
    return None


def _is_vector(value: Any) -> bool:
    while isinstance(value, list) and len(value) > 0:
        if len(value) > _VECTOR_LENGTH and isinstance(value[0], int | float):
            return True
        value = value[0]
    return False


def _words(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list | dict):
        said = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), default=str)
        return "" if said in ("[]", "{}") else said
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return f"({len(value)} bytes)" if isinstance(value, bytes) else value


def _text(data: bytes) -> str:
    """Return bytes that are text: some writers do not say so in the schema."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return text if all(c.isprintable() or c.isspace() for c in text) else ""
