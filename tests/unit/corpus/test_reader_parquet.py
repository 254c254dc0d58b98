import datetime
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmrag.core.errors import Corrupt, Encrypted
from mmrag.core.identity import digest_bytes, digest_file
from mmrag.core.protocols import ReadContext, Reader, ReadLimits
from mmrag.core.reading import Reading
from mmrag.core.types import Cells, Source, SourceId
from mmrag.corpus.readers.tables.reader import TableReader
from mmrag.testing import FakeOcr, ReaderContract
from mmrag.testing.samples import picture_of

KIND = "application/vnd.apache.parquet"


def read(folder: Path, columns: dict[str, object], *, limits: ReadLimits | None = None) -> Reading:
    path = folder / "a.parquet"
    pq.write_table(pa.table(columns), path)
    return read_file(path, limits)


def read_file(path: Path, limits: ReadLimits | None = None) -> Reading:
    source = Source(SourceId(path.name), digest_file(path), path.stat().st_size, KIND)
    return TableReader().read(path, source, ReadContext(path.parent, FakeOcr(), limits or ReadLimits()))


class TestContract(ReaderContract):
    media_type = KIND
    words = ("Relay", "4.2", "3 rows", "name (string)")

    def make(self) -> Reader:
        return TableReader()

    def write_samples(self, folder: Path) -> list[Path]:
        path = folder / "parts.parquet"
        pq.write_table(pa.table({"name": ["Relay", "Fuse", None], "price": [12.0, 4.2, 1.0]}), path)
        return [path]


def test_the_schema_and_then_the_rows(tmp_path: Path) -> None:
    schema, table = read(tmp_path, {"name": ["Relay", None, "Fuse"], "price": [12, None, 3]}).blocks
    assert schema.text == "A table of 3 rows and 2 columns: name (string), price (int64)."
    assert schema.locator == Cells("", 1, 1)
    assert table.text == "name | price\nRelay | 12\nFuse | 3"
    assert [p.locator for p in table.parts[0].places] == [Cells("", n, n) for n in (1, 2, 4)]


def test_values_read_as_people_write_them(tmp_path: Path) -> None:
    columns = {
        "short": pa.array([0.1], pa.float32()),
        "money": pa.array([Decimal("12.50")]),
        "day": pa.array([datetime.date(2020, 1, 2)]),
        "time": pa.array([1], pa.timestamp("ns", tz="UTC")),
        "noon": pa.array([datetime.datetime(2020, 1, 2, 12)]),
        "far": pa.array([10**15], pa.timestamp("ms")),
        "nested": pa.array([{"größe": [1, None]}]),
        "flag": pa.array([True]),
        "kind": pa.array(["a"]).dictionary_encode(),
    }
    row = read(tmp_path, columns).blocks[1].text.split("\n")[1].split(" | ")
    assert row[:3] == ["0.1", "12.50", "2020-01-02"]
    assert row[3].startswith("1970-01-01 00:00:00.000000001")
    assert row[4] == "2020-01-02 12:00:00"
    assert row[6:] == ['{"größe":[1,null]}', "True", "a"]


def test_pictures_in_columns_are_figures(tmp_path: Path) -> None:
    picture = picture_of("A2")
    images = [{"bytes": picture, "path": "a.png"}, {"bytes": None, "path": "b.png"}, None]
    reading = read(tmp_path, {"image": images, "caption": ["a dog runs", "a cat", "none"]})
    (figure,) = [b for b in reading.blocks if b.kind == "figure"]
    assert figure.parts[0].media == digest_bytes(picture) == reading.blobs[0].digest
    assert figure.locator == Cells("", 2, 2)
    assert figure.neighbours == "image: a.png\ncaption: a dog runs"
    assert "image: b.png\ncaption: a cat" in [b.text for b in reading.blocks]
    assert reading.problems == ()


def test_pictures_together_are_bounded(tmp_path: Path) -> None:
    pictures = [picture_of("A2"), picture_of("B3")]
    limits = replace(ReadLimits(), max_output_bytes=2 * len(pictures[0]) + 2)
    reading = read(tmp_path, {"image": pictures}, limits=limits)
    assert len(reading.blobs) == 1
    assert reading.problems == ("1 pictures were left out: all of them together are too large.",)


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    columns = {
        "name": ["a", "b"],
        "old": [b"words"] * 2,
        "sound": [b"\xff\x81", b"x"],
        "vector": [[0.5] * 64] * 2,
    }
    reading = read(tmp_path, columns)
    assert reading.problems == ("Columns that were left out: sound (binary), vector (vectors).",)
    assert reading.blocks[1].text.split("\n")[1:] == ["a | words |  | ", "b | words | x |"]


def test_strings_that_are_not_utf8_are_still_read(tmp_path: Path) -> None:
    broken = pa.StringArray.from_buffers(
        2, pa.py_buffer(b"\0\0\0\0\2\0\0\0\4\0\0\0"), pa.py_buffer(b"\xffaok")
    )
    assert "\ufffda" in read(tmp_path, {"name": broken, "n": [1, 2]}).blocks[1].text


def test_no_rows_and_too_many(tmp_path: Path) -> None:
    empty = read(tmp_path, {"name": pa.array([], pa.string())})
    assert [b.text for b in empty.blocks] == ["A table of 0 rows and 1 column: name (string)."]
    rows = {"name": [f"word {i}" for i in range(1000)]}
    few = read(tmp_path, rows, limits=replace(ReadLimits(), max_rows=5))
    assert few.problems == ("Only the first 5 of 1000 rows were read.",)
    short = read(tmp_path, rows, limits=replace(ReadLimits(), max_text_bytes=50))
    assert short.problems == ("Only the first 9 of 1000 rows were read: their words exceed 50 bytes.",)


def test_one_value_many_times_is_bounded(tmp_path: Path) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["x" * 100_000]))
    reading = read(tmp_path, {"a": column}, limits=replace(ReadLimits(), max_text_bytes=1_000_000))
    assert "of 100000 rows" in reading.problems[0]


def test_torn_and_encrypted_files(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1" + b"x" * 100)
    with pytest.raises(Corrupt, match="broken"):
        read_file(path)
    path.write_bytes(b"PARE" + b"x" * 100)
    with pytest.raises(Encrypted):
        read_file(path)
