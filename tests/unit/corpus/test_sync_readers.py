"""Sync with the readers and the splitter of the product, on a small folder of every family."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from reportlab.pdfgen.canvas import Canvas

from mmrag.corpus.readers import load_readers
from mmrag.corpus.report import SyncReport
from mmrag.corpus.split import PassageOptions
from mmrag.corpus.sync import sync
from mmrag.store import Store, verify
from mmrag.testing.fakes import FakeOcr, HashingEmbedder

EMBEDDER = HashingEmbedder(64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    (root / "figures").mkdir(parents=True)
    (root / "notes.txt").write_text("The relay has two coils.\n")
    (root / "guide.md").write_text(
        "# Wiring\n\nConnect the coil first.\n\n![The wiring](figures/relay_wiring.png)\n"
    )
    (root / "page.html").write_text(
        "<html><head><title>Prices</title></head><body><p>It costs ten.</p></body></html>"
    )
    (root / "wrong.pdf").write_text("<html></html>")
    picture(root / "figures" / "relay_wiring.png", "red")
    canvas = Canvas(str(root / "manual.pdf"))
    canvas.drawString(72, 700, "The warranty lasts five years.")
    canvas.save()
    return root


def picture(path: Path, colour: str) -> None:
    image = Image.new("RGB", (200, 120), "white")
    ImageDraw.Draw(image).rectangle((20, 20, 150, 90), fill=colour)
    image.save(path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "store", identity=EMBEDDER.identity) as made:
        yield made


@pytest.fixture
def run(folder: Path, store: Store) -> Callable[[], SyncReport]:
    splitter = PassageOptions().build(EMBEDDER.count_tokens)

    def go() -> SyncReport:
        return sync(folder, store, EMBEDDER, readers=load_readers(), splitter=splitter, ocr=FakeOcr())

    return go


def test_every_family_becomes_items_and_the_second_run_does_nothing(
    run: Callable[[], SyncReport], store: Store
) -> None:
    report = run()
    assert {t.source for t in report.troubles} == {"wrong.pdf"}
    items = list(store.items(store.rows()).values())
    kinds = {(item.source, item.modality) for item in items}
    assert {
        ("notes.txt", "text"),
        ("guide.md", "text"),
        ("guide.md", "image"),
        ("page.html", "text"),
        ("manual.pdf", "text"),
        ("figures/relay_wiring.png", "image"),
    } <= kinds
    assert "five years" in " ".join(item.text for item in items if item.source == "manual.pdf")
    assert run().plan.is_empty
    assert verify(store).problems == ()


def test_a_document_is_read_again_when_its_picture_changes(
    run: Callable[[], SyncReport], folder: Path, store: Store
) -> None:
    run()
    picture(folder / "figures" / "relay_wiring.png", "blue")
    report = run()
    assert [one.found.id for one in report.plan.depends] == ["guide.md"]
    assert [one.found.id for one in report.plan.changed] == ["figures/relay_wiring.png"]
    (folder / "figures" / "relay_wiring.png").unlink()
    run()
    record = store.source("guide.md")  # type: ignore[arg-type]
    assert record is not None
    assert (record.state, "relay_wiring.png" in record.reason) == ("partial", True)
    assert run().plan.is_empty


def test_a_moved_folder_keeps_items_and_vectors(
    run: Callable[[], SyncReport], folder: Path, store: Store
) -> None:
    run()
    before = sorted(item.id for item in store.items(store.rows()).values())
    (folder / "old").mkdir()
    for path in [path for path in folder.iterdir() if path.name != "old"]:
        path.rename(folder / "old" / path.name)
    report = run()
    assert (report.plan.counts["moved"], report.embedded) == (6, 0)
    assert sorted(item.id for item in store.items(store.rows()).values()) == before
    assert run().plan.is_empty
