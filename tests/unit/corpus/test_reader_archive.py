import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_LZMA, ZipFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrag.core.errors import Corrupt, Encrypted, SourceError, TooLarge
from mmrag.core.protocols import ReadLimits
from mmrag.core.types import Source, SourceId
from mmrag.corpus.readers import archive as module
from mmrag.corpus.readers.archive import open_archive, parse_xml, read_member, walk_xml, wrong_container

LIMITS = ReadLimits()
LAUGHS = b'<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><a>&y;</a>'
OUTSIDE = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'


def source_of(path: Path) -> Source:
    return Source(SourceId(path.name), "", path.stat().st_size, "application/zip")


def write(path: Path, members: dict[str, bytes], *, packing: int = ZIP_DEFLATED) -> Path:
    with ZipFile(path, "w", packing) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def open_and_read(path: Path, limits: ReadLimits = LIMITS) -> dict[str, bytes]:
    with open_archive(path, source_of(path), limits) as file:
        return {name: read_member(file, name, limits) for name in file.namelist()}


def test_members_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"a.xml": b"one", "../../b.xml": b"two"})
    assert open_and_read(path) == {"a.xml": b"one", "../../b.xml": b"two"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (ReadLimits(max_bytes=10), "bytes"),
        (ReadLimits(max_unpacked_bytes=1999), "unpacks to 2000 bytes"),
    ],
)
def test_sizes_are_bounded_before_anything_is_unpacked(tmp_path: Path, limits: ReadLimits, said: str) -> None:
    path = write(tmp_path / "a.zip", {"a": bytes(1000), "b": bytes(1000)})
    with pytest.raises(TooLarge, match=said) as caught:
        open_and_read(path, limits)
    assert caught.value.where == "a.zip"
    assert caught.value.fix


def test_the_number_of_members_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_MEMBERS", 3)
    with pytest.raises(TooLarge, match="4 parts"):
        open_and_read(write(tmp_path / "a.zip", {str(i): b"" for i in range(4)}))


def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="ZIP bomb"):
        open_and_read(write(tmp_path / "a.zip", {"word/document.xml": bytes(60_000_000)}))


def test_a_gigabyte_of_zeros_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=1) as file, file.open("a", "w") as member:
        for _ in range(101):
            member.write(bytes(10_000_000))
    with pytest.raises(TooLarge, match="unpacks to 1010000000 bytes"):
        open_and_read(path)


def test_a_member_never_exceeds_its_declared_size(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"a": bytes(5000)})
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.index(mark) + at, 10)
    path.write_bytes(data)
    with pytest.raises(Corrupt, match="torn"):
        open_and_read(path)


def test_a_password_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"a": b"secret"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(Encrypted, match="password"):
        open_and_read(path)


def test_foreign_packing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="packed"):
        open_and_read(write(tmp_path / "a.zip", {"a": b"text"}, packing=ZIP_LZMA))


def test_a_wrong_checksum_and_a_missing_member_are_corrupt(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"a": b"some text"}, packing=zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"some text", b"same text"))
    with pytest.raises(Corrupt, match="torn") as caught:
        open_and_read(path)
    assert caught.value.where == "a.zip"
    with pytest.raises(Corrupt, match="missing"), open_archive(path, source_of(path), LIMITS) as file:
        read_member(file, "b", LIMITS)


@settings(max_examples=60, deadline=None)
@given(cut=st.floats(0, 1), at=st.floats(0, 1), byte=st.integers(0, 255))
def test_torn_and_changed_files_are_source_errors(
    tmp_path_factory: pytest.TempPathFactory, cut: float, at: float, byte: int
) -> None:
    path = write(tmp_path_factory.mktemp("torn") / "a.zip", {"a": b"text" * 100, "b/c": b"more" * 50})
    data = bytearray(path.read_bytes())
    data[int(at * (len(data) - 1))] = byte
    path.write_bytes(data[: int(cut * len(data))])
    with suppress(SourceError):
        open_and_read(path)


@pytest.mark.parametrize(
    "data",
    [
        LAUGHS,
        OUTSIDE,
        b'<!DOCTYPE a [<!ENTITY % x "y">]><a/>',
        b"<!--" + b" " * 200_000 + b"-->" + LAUGHS,
        ('<?xml version="1.0" encoding="utf-16"?>' + LAUGHS.decode()).encode("utf-16"),
    ],
)
def test_entities_are_refused(tmp_path: Path, data: bytes) -> None:
    path = write(tmp_path / "a.zip", {"a.xml": data})
    with pytest.raises(Corrupt, match="entities"):
        parse_xml(data, source_of(path))
    with (
        pytest.raises(Corrupt, match="entities"),
        open_archive(path, source_of(path), LIMITS) as file,
    ):
        list(walk_xml(file, file.infolist()[0], source_of(path), ("a",)))


@pytest.mark.parametrize(
    "data", [b"", b"<a", b"<a>&nbsp;</a>", b'<?xml version="1.0" encoding="x"?><a/>', b"\0"]
)
def test_what_is_no_xml_is_corrupt(tmp_path: Path, data: bytes) -> None:
    path = write(tmp_path / "a.zip", {"a.xml": data})
    with pytest.raises(Corrupt, match="torn") as caught:
        parse_xml(data, source_of(path), part="a.xml")
    assert caught.value.where == "a.zip"
    with pytest.raises(Corrupt, match="torn"), open_archive(path, source_of(path), LIMITS) as file:
        list(walk_xml(file, file.infolist()[0], source_of(path), ("a",)))


def test_a_plain_doctype_is_no_entity(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {})
    assert parse_xml(b'<!DOCTYPE a SYSTEM "a.dtd"><a>text</a>', source_of(path)).text == "text"


def test_strict_namespaces_become_the_usual_ones(tmp_path: Path) -> None:
    tag = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}row"
    data = b'<x:s xmlns:x="http://purl.oclc.org/ooxml/spreadsheetml/main"><x:row r="7"/></x:s>'
    path = write(tmp_path / "a.zip", {"a.xml": data})
    assert parse_xml(data, source_of(path))[0].tag == tag
    with open_archive(path, source_of(path), LIMITS) as file:
        rows = [row.get("r") for row in walk_xml(file, file.infolist()[0], source_of(path), (tag,))]
    assert rows == ["7"]


def test_deep_nesting_is_parsed_without_recursion(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {})
    assert len(parse_xml(b"<a>" * 100_000 + b"</a>" * 100_000, source_of(path))) == 1


@pytest.mark.parametrize(
    ("member", "label", "suffix"),
    [
        ("[Content_Types].xml", "wordprocessingml.document.main+xml", ".docx"),
        ("[Content_Types].xml", "application/vnd.ms-powerpoint.slideshow.macroEnabled.main+xml", ".pptx"),
        ("[Content_Types].xml", "spreadsheetml.sheet.main+xml", ".xlsx"),
        ("[Content_Types].xml", "application/vnd.ms-excel.sheet.binary.macroEnabled.main", ".xlsb"),
        ("mimetype", "application/epub+zip", ".epub"),
        ("mimetype", "application/vnd.oasis.opendocument.text", ".odt"),
        ("other", "text", "its right suffix"),
    ],
)
def test_another_container_is_named_with_its_suffix(
    tmp_path: Path, member: str, label: str, suffix: str
) -> None:
    path = write(tmp_path / "a.zip", {member: label.encode()})
    with open_archive(path, source_of(path), LIMITS) as file:
        error = wrong_container(file, "a recipe", LIMITS)
    assert suffix in error.fix
    assert "not a recipe" in error.message or "without a recipe" in error.message
