"""Files made to stop a reader: four times the input takes about four times as long, and nothing swells."""

import time
from collections.abc import Callable
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path
from xml.etree.ElementTree import Element

import pytest

from mmrag.core.protocols import ReadContext, Reader
from mmrag.core.reading import Reading
from mmrag.core.types import Source, SourceId
from mmrag.corpus.readers.mail import parts
from mmrag.corpus.readers.mail.parts import Leftovers, open_mail
from mmrag.corpus.readers.mail.reader import MailReader
from mmrag.corpus.readers.office import sheet_cells
from mmrag.corpus.readers.office.package import alt_of
from mmrag.corpus.readers.office.sheet_cells import Area, fill_down
from mmrag.corpus.readers.text import TextReader
from mmrag.corpus.readers.web.html import HtmlReader
from mmrag.corpus.readers.web.markdown import MarkdownReader

_KINDS: dict[str, tuple[Callable[[], Reader], str]] = {
    "a.txt": (TextReader, "text/plain"),
    "a.log": (TextReader, "text/plain"),
    "a.md": (MarkdownReader, "text/markdown"),
    "a.html": (HtmlReader, "text/html"),
    "a.eml": (MailReader, "message/rfc822"),
    "a.mbox": (MailReader, "application/mbox"),
}
_MOST = 9
"""Times as long for fourfold input: 4 is linear, 16 the square; the machine is busy with other tests."""
_QUICK_S = 0.05
"""Shorter times say nothing about growth."""


def _read(
    folder: Path, name: str, text: str, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> Reading:
    reader, media_type = _KINDS[name]
    (folder / name).write_text(text)
    source = Source(SourceId(name), "", len(text), media_type)
    return reader().read(folder / name, source, ReadContext(folder, progress=progress))


def _grows_in_line(read: Callable[[int], object], count: int) -> None:
    def seconds(size: int) -> float:
        best = float("inf")
        for _ in range(2):
            started = time.process_time()
            read(size)
            best = min(best, time.process_time() - started)
        return best

    once, fourfold = seconds(count), seconds(4 * count)
    assert fourfold < _MOST * max(once, _QUICK_S / 4), f"{once:.3f} s, then {fourfold:.3f} s"


@pytest.mark.parametrize(
    ("name", "head", "unit", "count"),
    [
        ("a.md", "x ", "[", 8000),
        ("a.md", "x ", "![[", 1500),
        ("a.md", "x ", ":::image ", 6000),
        ("a.md", "::: a", " ", 5000),
        ("a.md", "- <div>", "<img ", 5000),
        ("a.md", "x <img ", "a", 8000),
        ("a.html", "", "<div>", 12_000),
        ("a.eml", "From: a\nContent-Type: text/html\n\n<p>x</p>", "<body ", 10_000),
        ("a.mbox", "From ann Mon May  6 07:08:09 2024\nSubject: x\n\nFrom ", "0:00 ", 3200),
    ],
)
def test_reading_time_grows_in_line(tmp_path: Path, name: str, head: str, unit: str, count: int) -> None:
    end = " x>\n\nWords.\n" if name.endswith(".md") else " x"
    _grows_in_line(lambda size: _read(tmp_path, name, head + unit * size + end), count)


def test_an_alt_text_of_spaces_is_no_trouble() -> None:
    _grows_in_line(lambda size: alt_of(Element("p", {"descr": "a" + " " * size + "b"})), 4000)
    assert alt_of(Element("p", {"descr": "A plan.\n\nDescription automatically generated"})) == "A plan."
    assert len(alt_of(Element("p", {"descr": "plan " * 10_000}))) <= 2000


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("a.txt", "Words.\n\n"),
        ("a.log", "Words.\n\n"),
        ("a.md", "Words.\n\n"),
        ("a.html", "<p>Words.</p>\n"),
    ],
)
def test_a_long_text_gives_signs_of_life(tmp_path: Path, name: str, unit: str) -> None:
    said: list[int] = []
    _read(tmp_path, name, unit * 5000, lambda done, _total: said.append(done))
    assert len(set(said)) >= 4


def test_words_stay_where_markdown_has_too_much_markup(tmp_path: Path) -> None:
    text = "\n".join(f"[part {i}](b.md)" for i in range(1500)) + "\n" + "![[" * 1200 + "**end**"
    (block,) = _read(tmp_path, "a.md", text).blocks
    assert block.text.startswith("part 0 part 1 ")
    assert " part 1499 ![[" in block.text
    assert block.text.endswith("**end**")


def test_words_below_the_deepest_element_stay(tmp_path: Path) -> None:
    page = "<div>one" * 600 + "</div>" * 600 + "<script>'<div>' <div>x</script><h2>After</h2><p>two</p>"
    blocks = _read(tmp_path, "a.html", page).blocks
    assert sum(block.text.count("one") for block in blocks) == 600
    assert [(block.kind, block.text) for block in blocks[-2:]] == [("heading", "After"), ("paragraph", "two")]


def test_lists_in_lists_are_indented_up_to_a_point(tmp_path: Path) -> None:
    (block,) = _read(tmp_path, "a.html", "<ul><li>x" * 400).blocks
    assert max(map(len, block.text.split("\n"))) < 50


def test_a_table_of_wide_cells_does_not_swell(tmp_path: Path) -> None:
    row = f"<tr><th rowspan=50 colspan=50>{'name ' * 40}</th></tr>"
    page = f"<table>{row * 50}<tr><td>last</td><td>one</td></tr></table>"
    reading = _read(tmp_path, "a.html", page)
    text = "\n".join(block.text for block in reading.blocks)
    assert len(text) < 20 * len(page)
    assert "last" in text
    (problem,) = reading.problems
    assert "not repeated" in problem


def test_usual_spans_are_repeated_without_a_problem(tmp_path: Path) -> None:
    rows = "".join(f"<tr><td>{i}</td></tr>" for i in range(49))
    page = (
        f"<table><tr><th colspan=2>Parts</th></tr><tr><td rowspan=50>Relay</td><td>x</td></tr>{rows}</table>"
    )
    reading = _read(tmp_path, "a.html", page)
    assert reading.problems == ()
    assert reading.blocks[0].text.count("Relay | ") == 50


def test_alternatives_in_alternatives_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []

    def counted(html: str) -> list[object]:
        parsed.append(html)
        return []

    monkeypatch.setattr(parts, "fragment_blocks", counted)
    mail: MIMEMultipart | MIMEText = MIMEText("<p>The relay opens.</p>", "html")
    for _ in range(10):
        outer = MIMEMultipart("alternative")
        outer.attach(mail)
        mail = outer
    mail["From"] = "ann@example.org"
    open_mail(mail.as_bytes(), Leftovers(), name="a.eml")
    assert len(parsed) == 1


def test_merged_cells_beyond_the_limit_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet_cells, "_MAX_FILLED", 5)
    grid = {row: {1: "Relay"} if row == 1 else {2: "x"} for row in range(1, 10)}
    assert fill_down(grid, [Area(1, 1, 6, 1)]) == 0
    assert fill_down(grid, [Area(1, 1, 9, 1)]) == 7
