"""What an embedder that sees gets to see in a sync, and what becomes of pictures that it cannot take."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from mmrag.core.errors import Corrupt, InputTooLong, MmragError, ModelError, SourceError
from mmrag.core.protocols import Embedded, Media
from mmrag.core.types import Embeddings, Item, Modality, Page, Query
from mmrag.corpus import sync
from mmrag.corpus.captions import DESCRIBED_BY
from mmrag.corpus.readers import load_readers
from mmrag.corpus.report import SyncReport
from mmrag.corpus.split import PassageOptions
from mmrag.corpus.split_pages import PageOptions
from mmrag.media.items import ItemPictures
from mmrag.media.pictures import open_picture
from mmrag.store import Store

RED, BLUE = (200, 30, 30), (30, 30, 200)


def colour_of(data: bytes) -> tuple[int, ...]:
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    return tuple(int(value) for value in pixels.reshape(-1, 3).mean(axis=0).round())


@dataclass
class ColourEmbedder:
    """Sees the mean colour of a picture; says `refusal` of blue ones if there is one."""

    refusal: MmragError | None = None
    batch_items: int = 100
    seen: list[tuple[int, ...]] = field(default_factory=list)
    languages: None = None
    dim: int = 4

    @property
    def identity(self) -> Mapping[str, str]:
        return {"embedder": "colour", "dim": "4"}

    @property
    def modalities(self) -> frozenset[Modality]:
        return frozenset({"text", "image"})

    def embed_items(self, items: Sequence[Item], media: Media | None = None) -> Embeddings:
        raise AssertionError("a sync takes the stream")

    def embed_stream(self, items: Iterable[Item], media: Media | None = None) -> Iterator[Embedded]:
        assert media is not None
        for i, item in enumerate(items):
            part = next((part for part in item.parts if part.modality == "image"), None)
            if part is None:
                yield Embedded(i, np.array([[1, 0, 0, 0]], np.float32), notes=("Words were cut.",))
                continue
            colour = colour_of(media(item, part))
            self.seen.append(colour)
            if self.refusal is not None and colour[2] > 150 > colour[0]:
                yield Embedded(i, error=self.refusal)
                continue
            vector = np.array([[0, *colour]], np.float32)
            yield Embedded(i, vector / np.linalg.norm(vector))

    def embed_queries(self, queries: Sequence[Query]) -> Embeddings:
        return Embeddings.dense(np.eye(4, dtype=np.float32)[[0] * len(queries)])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


@dataclass
class OpeningEmbedder(ColourEmbedder):
    """Opens pictures as models do: what is no picture of pixels is an error of its item."""

    def embed_stream(self, items: Iterable[Item], media: Media | None = None) -> Iterator[Embedded]:
        for i, item in enumerate(items):
            try:
                for part in item.parts:
                    if part.modality == "image" and media is not None:
                        open_picture(media(item, part), max_pixels=10**8).close()
            except SourceError as error:
                yield Embedded(i, error=error)
            else:
                shown = media or (lambda _, part: b"")
                (one,) = super().embed_stream([item], shown)
                yield replace(one, position=i)


@dataclass
class ColourNames:
    """A captioner that names the stronger of red and blue."""

    identity: str = "names/1"
    asked: list[int] = field(default_factory=list)

    def describe(self, pictures: Sequence[bytes]) -> list[str | SourceError]:
        self.asked.append(len(pictures))
        colours = [colour_of(picture) for picture in pictures]
        return ["a scarlet thing" if c[0] > c[2] else Corrupt("Too blue.", fix="-") for c in colours]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A red picture, a blue one that a Markdown file shows inside itself, and a PDF of two pages."""
    root = tmp_path / "docs"
    root.mkdir()
    Image.new("RGB", (120, 90), RED).save(root / "red.png")
    Image.new("RGB", (120, 90), BLUE).save(root / "blue.png")
    (root / "note.md").write_text("# Paint\n\nWe have two colours.\n")
    canvas = Canvas(str(root / "manual.pdf"), pagesize=(300, 300))
    canvas.drawString(30, 200, "The relay of the pump carries two amperes.")
    canvas.showPage()
    canvas.setFillColorRGB(0, 0, 1)
    canvas.rect(0, 0, 300, 300, fill=1)
    canvas.showPage()
    canvas.save()
    return root


def run(docs: Path, store: Store, embedder: ColourEmbedder, **options: object) -> SyncReport:
    splitter = options.pop("splitter", None) or PassageOptions().build(embedder.count_tokens)
    readers = load_readers()
    return sync(docs, store, embedder, readers=readers, splitter=splitter, workers=0, **options)  # type: ignore[arg-type]


def opened(tmp_path: Path, embedder: ColourEmbedder) -> Store:
    return Store.create(tmp_path / "store", identity=embedder.identity)


def test_an_embedder_that_sees_gets_the_bytes_of_picture_files(docs: Path, tmp_path: Path) -> None:
    embedder = ColourEmbedder()
    with_pictures = run(docs, opened(tmp_path, embedder), embedder)
    assert {RED, BLUE} <= set(embedder.seen)
    assert with_pictures.states["failed"] == 0


def test_what_an_embedder_says_of_items_is_in_the_report(docs: Path, tmp_path: Path) -> None:
    embedder = ColourEmbedder()
    report = run(docs, opened(tmp_path, embedder), embedder)
    assert report.notes == ("2 items: Words were cut.",)


def test_one_item_that_cannot_be_embedded_costs_one_item(docs: Path, tmp_path: Path) -> None:
    embedder = ColourEmbedder(Corrupt("It is blue.", fix="Paint it red."))
    store = opened(tmp_path, embedder)
    report = run(docs, store, embedder)
    states = {record.source.id: record for record in store.sources()}
    assert states["blue.png"].state == "failed"
    assert "1 of 1 items could not be embedded: It is blue." in states["blue.png"].reason
    assert states["blue.png"].fix == "Paint it red."
    # Without OCR a picture is partly read, but it is there.
    assert states["red.png"].items == states["note.md"].items == 1
    assert report.embedded == report.items == store.count()
    assert (report.lost, report.reused) == (1, 0)
    again = run(docs, store, embedder)
    assert again.plan.is_empty, "a picture that fails for good is not tried by every sync"


def test_what_a_model_failed_at_is_tried_again(docs: Path, tmp_path: Path) -> None:
    embedder = ColourEmbedder(ModelError("The server gave no numbers.", fix="Look into its log."))
    store = opened(tmp_path, embedder)
    run(docs, store, embedder)
    tried = run(docs, store, embedder)
    assert [file.found.id for file in tried.plan.to_read] == ["blue.png"]
    generation = store.generation
    assert run(docs, store, embedder).generation == generation, "a retry that ends as before writes nothing"
    embedder.refusal = None
    assert run(docs, store, embedder).states["failed"] == 0
    assert run(docs, store, embedder).plan.is_empty


def test_an_input_that_is_too_long_is_not_tried_again(docs: Path, tmp_path: Path) -> None:
    embedder = ColourEmbedder(InputTooLong("It has too many pixels.", fix="Scale it down."))
    store = opened(tmp_path, embedder)
    assert run(docs, store, embedder).states["failed"] == 1
    assert run(docs, store, embedder).plan.is_empty


def test_a_model_that_cannot_count_tokens_costs_no_file_its_items(docs: Path, tmp_path: Path) -> None:
    embedder = ColourEmbedder()
    store = opened(tmp_path, embedder)
    run(docs, store, embedder)
    before = store.count()
    (docs / "note.md").write_text("# Paint\n\nWe have three colours.\n")

    def count(texts: Sequence[str]) -> list[int]:
        raise ModelError("The device is gone.", fix="Plug it in.")

    with pytest.raises(ModelError, match="device is gone"):
        run(docs, store, embedder, splitter=PassageOptions().build(count))
    assert store.count() == before
    assert run(docs, store, embedder).plan.counts["changed"] == 1
    assert {record.state for record in store.sources() if record.source.id == "note.md"} == {"indexed"}


def test_a_drawing_that_no_model_can_open_is_embedded_by_its_words(docs: Path, tmp_path: Path) -> None:
    (docs / "plan.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 30">'
        '<text x="5" y="20">Pump room</text></svg>'
    )
    embedder = OpeningEmbedder()
    store = opened(tmp_path, embedder)
    report = run(docs, store, embedder)
    (item,) = (item for item in store.items(store.rows()).values() if item.source == "plan.svg")
    assert "Pump room" in item.text
    assert item.modality == "image"
    row = store.rows_of(item.source)
    np.testing.assert_array_equal(store.embeddings(row).vectors, [[1, 0, 0, 0]])
    assert any("words in and around it stand for it" in note for note in report.notes)


def test_pages_are_seen_as_pictures_and_found_by_their_words(docs: Path, tmp_path: Path) -> None:
    embedder = ColourEmbedder()
    store = opened(tmp_path, embedder)
    splitter = PageOptions().build(embedder.count_tokens)
    run(docs, store, embedder, splitter=splitter)
    items = [item for item in store.items(store.rows()).values() if item.source == "manual.pdf"]
    first, second = sorted(items, key=lambda item: item.locator.number)  # type: ignore[union-attr]
    assert isinstance(first.locator, Page)
    assert "carries two amperes" in first.text
    assert [part.modality for part in first.parts] == ["image", "text"]
    assert first.parts[1].places, "what answers quote has its place on the page"
    assert second.text == ""
    white, blue = embedder.seen[-2:]
    assert min(white) > 240, "a page of few words is white"
    assert blue[0] < 15 < 240 < blue[2]


def test_a_page_of_a_changed_pdf_is_gone(docs: Path, tmp_path: Path) -> None:
    embedder = ColourEmbedder()
    store = opened(tmp_path, embedder)
    run(docs, store, embedder, splitter=PageOptions().build(embedder.count_tokens))
    item = next(item for item in store.items(store.rows()).values() if item.source == "manual.pdf")
    media = ItemPictures(store, docs)
    assert media(item, item.parts[0]).startswith(b"BM")
    (docs / "manual.pdf").write_bytes(b"%PDF-1.4 other")
    with pytest.raises(Corrupt, match="gone"):
        media(item, item.parts[0])


def test_descriptions_become_words_of_the_item_and_are_written_once(docs: Path, tmp_path: Path) -> None:
    embedder, captioner = ColourEmbedder(), ColourNames()
    store = opened(tmp_path, embedder)
    run(docs, store, embedder, captioner=captioner)
    items = {item.source: item for item in store.items(store.rows()).values()}
    red = items["red.png"]  # type: ignore[index]
    assert "a scarlet thing" in red.text
    assert red.metadata[DESCRIBED_BY] == "names/1"
    assert [part.role for part in red.parts if part.text] == ["caption"]
    blue = next(record for record in store.sources() if record.source.id == "blue.png")
    assert "1 of 1 pictures could not be described: Too blue." in blue.reason
    asked = sum(captioner.asked)
    (docs / "copy").mkdir()
    (docs / "copy" / "red again.png").write_bytes((docs / "red.png").read_bytes())
    run(docs, store, embedder, captioner=captioner)
    assert sum(captioner.asked) == asked, "the same picture under another name is known"


def test_a_description_without_end_is_none(docs: Path, tmp_path: Path) -> None:
    class Endless(ColourNames):
        def describe(self, pictures: Sequence[bytes]) -> list[str | SourceError]:
            return ["red " * 100_000 for _ in pictures]

    embedder = ColourEmbedder()
    store = opened(tmp_path, embedder)
    run(docs, store, embedder, captioner=Endless())
    red = next(record for record in store.sources() if record.source.id == "red.png")
    assert "could not be described: The description has 400000 characters" in red.reason
    assert all(len(item.text) < 1000 for item in store.items(store.rows()).values())


def test_another_captioner_describes_anew(docs: Path, tmp_path: Path) -> None:
    embedder = ColourEmbedder()
    store = opened(tmp_path, embedder)
    run(docs, store, embedder, captioner=ColourNames())
    other = ColourNames("names/2")
    report = run(docs, store, embedder, captioner=other)
    assert sum(other.asked) == 2
    assert {file.found.id for file in report.plan.upgraded} >= {"red.png", "blue.png"}
