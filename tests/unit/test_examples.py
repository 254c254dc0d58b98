"""The example corpus is whole, and every stated answer really stands where its question says."""

from __future__ import annotations

import hashlib
import html
import json
import re
import sys
import zipfile
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "examples" / "corpus"
MODALITIES = {"text", "table", "scan", "picture", "figure"}
PICTURES = {".png", ".jpg"}
SHOWS = {
    "support.html": {"images/control-panel.png"},
    "quick-start.md": {"images/wall-bracket.png", "images/filter-change.png"},
}


def load() -> list[dict[str, Any]]:
    lines = (ROOT / "examples" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


QUESTIONS = load()
ANSWERABLE = [question for question in QUESTIONS if question["answerable"]]


@cache
def pages(name: str) -> list[str]:
    """Return the text of each page; a file without pages is one page."""
    path = CORPUS / name
    if path.suffix == ".pdf":
        document = pypdfium2.PdfDocument(path)
        try:
            return [page.get_textpage().get_text_range() for page in document]
        finally:
            document.close()
    if path.suffix in (".docx", ".xlsx", ".pptx"):
        with zipfile.ZipFile(path) as archive:
            return [
                " ".join(
                    _plain(archive.read(name).decode()) for name in archive.namelist() if _has_words(name)
                )
            ]
    text = path.read_text(encoding="utf-8")
    return [html.unescape(re.sub(r"<[^>]+>", " ", text)) if path.suffix == ".html" else text]


def _plain(xml: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", xml))


def _has_words(member: str) -> bool:
    return (
        re.search(r"document\.xml|sheet\d+\.xml|sharedStrings|slides/slide|notesSlides/notes.*xml$", member)
        is not None
    )


def holds(text: str, answer: str) -> bool:
    """Whether a text has an answer, whatever the case and spacing, not as part of a longer word or number."""
    words = r"\s*".join(re.escape(part) for part in answer.casefold().split())
    return re.search(rf"(?<![\w.,]){words}(?!\w)", text.casefold()) is not None


def test_ids_and_questions_are_unique() -> None:
    assert len({question["id"] for question in QUESTIONS}) == len(QUESTIONS)
    assert len({question["question"].casefold() for question in QUESTIONS}) == len(QUESTIONS)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q["id"])
def test_question_is_well_formed(question: dict[str, Any]) -> None:
    needed = {"id", "question", "answers", "sources", "modality", "answerable", "split"}
    assert needed <= set(question) <= needed | {"demo"}
    assert question["question"].endswith(("?", "."))
    assert question["modality"] in MODALITIES
    assert bool(question["answers"]) == bool(question["sources"]) == question["answerable"]
    odd = int(hashlib.sha256(question["id"].encode()).hexdigest(), 16) % 2
    assert question["split"] == ("tune", "test")[odd]
    for source in question["sources"]:
        path = CORPUS / source["source"]
        assert path.is_file()
        assert ("page" in source) == (path.suffix == ".pdf")
        if path.suffix == ".pdf":
            assert 1 <= source["page"] <= len(pages(source["source"]))


@pytest.mark.parametrize(
    "question", [q for q in ANSWERABLE if q["modality"] in ("text", "table")], ids=lambda q: q["id"]
)
def test_answer_stands_in_each_stated_text(question: dict[str, Any]) -> None:
    written = [source for source in question["sources"] if Path(source["source"]).suffix not in PICTURES]
    assert written
    for source in written:
        if source["source"] in SHOWS and SHOWS[source["source"]] & {s["source"] for s in question["sources"]}:
            continue  # the page shows the picture that holds the answer
        text = pages(source["source"])[source.get("page", 1) - 1]
        assert any(holds(text, answer) for answer in question["answers"]), source


@pytest.mark.parametrize(
    "question", [q for q in ANSWERABLE if q["modality"] in ("text", "table")], ids=lambda q: q["id"]
)
def test_telling_answer_is_nowhere_unlisted(question: dict[str, Any]) -> None:
    """A longer answer names its fact; a page that has it and is not listed would be scored as a miss."""
    telling = [answer for answer in question["answers"] if len(answer) >= 12]
    listed = {(source["source"], source.get("page", 1)) for source in question["sources"]}
    for path in sorted(CORPUS.rglob("*")):
        if path.suffix in {".pdf", ".md", ".html", ".txt", ".eml", ".vtt", ".docx", ".xlsx", ".pptx"}:
            name = path.relative_to(CORPUS).as_posix()
            for number, text in enumerate(pages(name), 1):
                assert (name, number) in listed or not any(holds(text, answer) for answer in telling)


def test_scan_has_no_text_layer() -> None:
    assert [text.strip() for text in pages("service-letter.pdf")] == [""]


def test_scan_and_figure_answers_need_the_picture() -> None:
    """No text file gives the answer away, so that these questions measure OCR and figures."""
    for question in ANSWERABLE:
        if question["modality"] in ("scan", "figure"):
            for source in question["sources"]:
                if Path(source["source"]).suffix not in PICTURES:
                    text = pages(source["source"])[source.get("page", 1) - 1]
                    assert not any(holds(text, answer) for answer in question["answers"]), question["id"]


def test_splits_and_modalities_are_balanced() -> None:
    counts = Counter((question["modality"], question["split"]) for question in ANSWERABLE)
    assert {modality for modality, _ in counts} == MODALITIES
    assert min(counts.values()) >= 3
    splits = Counter((question["answerable"], question["split"]) for question in QUESTIONS)
    assert splits[True, "tune"] >= 35
    assert splits[True, "test"] >= 35
    assert splits[False, "tune"] >= 15
    assert splits[False, "test"] >= 15


def test_demo_has_one_question_of_each_kind() -> None:
    demo = Counter(question["modality"] for question in ANSWERABLE if question.get("demo"))
    assert demo == {"text": 1, "table": 1, "scan": 1, "picture": 1}
    assert sum(bool(question.get("demo")) for question in QUESTIONS if not question["answerable"]) == 1


def test_corpus_is_small_and_whole() -> None:
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 4_000_000
    for page in (CORPUS / "quick-start.md", CORPUS / "support.html"):
        links = re.findall(r"!\[[^\]]+\]\(([^)]+)\)|src=\"([^\"]+)\"", page.read_text(encoding="utf-8"))
        assert links
        assert all((CORPUS / (markdown or source)).is_file() for markdown, source in links)


def test_manual_contents_name_the_right_pages() -> None:
    manual = pages("manual.pdf")
    assert 12 <= len(manual) <= 16
    entries = re.findall(r"^(\d+ [A-Z][\w, ]+?)[\s.]+(\d+)\s*$", manual[1], re.MULTILINE)
    assert len(entries) == 11
    for heading, number in entries:
        assert heading in manual[int(number) - 1]


def test_price_list_repeats_its_header_on_both_pages() -> None:
    assert [text.count("Part no. Description Fits") for text in pages("price-list.pdf")] == [1, 1]


def test_photographs_carry_exif() -> None:
    for name in ("nameplate", "commissioning-label"):
        with Image.open(CORPUS / "images" / f"{name}.jpg") as picture:
            exif = picture.getexif()
        assert "14 Orchard Row" in exif[0x010E]
        assert exif[0x0132].startswith("2026:10:02")


def test_builder_writes_the_same_bytes_twice(tmp_path: Path) -> None:
    pytest.importorskip("reportlab", reason="the builder needs reportlab")
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from example_corpus import office, price_list, scans

        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            price_list.build(tmp_path / name / "price-list.pdf")
            scans.letter(tmp_path / name / "letter.pdf")
            office.report(tmp_path / name / "report.docx")
            office.stock(tmp_path / name / "stock.xlsx")
            office.training(tmp_path / name / "training.pptx")
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
