"""What every splitter must do."""

# ruff: noqa: D102 (a test's name is its sentence)

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from mmrag.core.identity import item_id
from mmrag.core.protocols import Splitter
from mmrag.core.reading import Block, Reading
from mmrag.core.types import Box, Item, Page, Part, Place, Source, SourceId, Span
from mmrag.testing.fakes import HashingEmbedder
from mmrag.testing.reader import check_locator
from mmrag.testing.samples import WORDS_OF_A_MANUAL

READER = "sample/1"
MANUAL = Source(SourceId("manual.md"), "a" * 64, 5000, "text/markdown")
SCAN = Source(SourceId("letters/scan.pdf"), "b" * 64, 5000, "application/pdf")
MAX_TOKENS = 40

Counter = Callable[[Sequence[str]], list[int]]


class SplitterContract(ABC):
    """Subclass it as `Test...` and say how to make the splitter.

    `max_tokens` is the bound that the splitter was made with; None when it has none.
    """

    max_tokens: int | None = MAX_TOKENS

    @abstractmethod
    def make(self, count_tokens: Counter) -> Splitter:
        """Make a splitter of passages of at most `max_tokens`, counted by `count_tokens`."""

    @pytest.fixture
    def splitter(self) -> Splitter:
        return self.make(HashingEmbedder().count_tokens)

    def test_it_implements_the_protocol(self, splitter: Splitter) -> None:
        assert isinstance(splitter, Splitter)
        assert splitter.identity
        assert splitter.identity == self.make(HashingEmbedder().count_tokens).identity

    def test_nothing_gives_nothing(self, splitter: Splitter) -> None:
        assert splitter.split(MANUAL, READER, Reading(())) == []

    def test_items_are_well_formed(self, splitter: Splitter) -> None:
        for source, reading in ((MANUAL, manual()), (SCAN, scan())):
            items = splitter.split(source, READER, reading)
            assert items
            for item in items:
                assert item.source == source.id
                assert item.parts
                check_locator(item.locator)
                assert all(isinstance(value, str | int | float | bool) for value in item.metadata.values())
                for part in item.parts:
                    assert (part.modality == "text") == (part.text is not None)
                    for place in part.places:
                        assert 0 <= place.start < place.end <= len(part.text or "")
                        check_locator(place.locator)

    def test_splitting_twice_gives_the_same(self, splitter: Splitter) -> None:
        assert splitter.split(MANUAL, READER, manual()) == splitter.split(MANUAL, READER, manual())

    def test_ids_are_unique(self, splitter: Splitter) -> None:
        twice = Reading((*_paragraphs(WORDS_OF_A_MANUAL), *_paragraphs(WORDS_OF_A_MANUAL, start=9000)))
        ids = [item.id for item in splitter.split(MANUAL, READER, twice)]
        assert len(ids) == len(set(ids))

    def test_ids_follow_content_place_reader_and_splitter(self, splitter: Splitter) -> None:
        for item in splitter.split(MANUAL, READER, manual()):
            again = item_id(item.parts, item.locator, reader=READER, splitter=splitter.identity)
            assert item.id == again

    def test_a_moved_file_keeps_its_ids(self, splitter: Splitter) -> None:
        moved = replace(MANUAL, id=SourceId("archive/old-manual.md"))
        before, after = (splitter.split(source, READER, manual()) for source in (MANUAL, moved))
        assert [item.id for item in before] == [item.id for item in after]
        assert {item.source for item in after} == {moved.id}

    def test_another_reader_gives_other_ids(self, splitter: Splitter) -> None:
        one = {item.id for item in splitter.split(MANUAL, READER, manual())}
        other = {item.id for item in splitter.split(MANUAL, "sample/2", manual())}
        assert not one & other

    def test_changed_words_change_the_ids_near_them_only(self, splitter: Splitter) -> None:
        reading = manual()
        last = reading.blocks[-1]
        part = replace(last.parts[0], text=(last.parts[0].text or "").replace("eight", "seven"))
        changed = replace(reading, blocks=(*reading.blocks[:-1], replace(last, parts=(part,))))
        one = [item.id for item in splitter.split(MANUAL, READER, reading)]
        other = [item.id for item in splitter.split(MANUAL, READER, changed)]
        assert one != other
        assert one[0] == other[0]

    def test_every_word_stays_in_order(self, splitter: Splitter) -> None:
        for source, reading in ((MANUAL, manual()), (SCAN, scan())):
            items = splitter.split(source, READER, reading)
            words = " ".join(item.text for item in items).split()
            for block in reading.blocks:
                if block.kind == "paragraph":
                    assert _contains(words, block.text.split()), block.text

    def test_items_come_in_reading_order(self, splitter: Splitter) -> None:
        starts = [_start(item) for item in splitter.split(MANUAL, READER, Reading(_paragraphs(WORDS)))]
        assert starts == sorted(starts)

    def test_no_passage_is_longer_than_the_bound(self, splitter: Splitter) -> None:
        if self.max_tokens is None:
            pytest.skip("it has no bound")
        one_long_sentence = " ".join(f"word{i}" for i in range(500))
        texts = (*WORDS, one_long_sentence, "no" * 3000)
        items = splitter.split(MANUAL, READER, Reading(_paragraphs(texts)))
        counts = HashingEmbedder().count_tokens([item.text for item in items])
        assert max(counts) <= self.max_tokens

    def test_short_neighbours_share_a_passage(self, splitter: Splitter) -> None:
        if self.max_tokens is None:
            pytest.skip("it has no bound")
        items = splitter.split(MANUAL, READER, Reading(_paragraphs([f"Line {i}." for i in range(10)])))
        assert len(items) < 10, "ten lines of two words are not ten passages"

    def test_places_lead_back_to_the_words(self, splitter: Splitter) -> None:
        texts = (*WORDS, " ".join(f"word{i}" for i in range(300)))
        blocks = _paragraphs(texts)
        original = {}
        for block in blocks:
            assert isinstance(block.locator, Span)
            for i, letter in enumerate(block.parts[0].text or ""):
                original[block.locator.start + i] = letter
        seen = 0
        for item in splitter.split(MANUAL, READER, Reading(blocks)):
            for part in item.parts:
                for place in part.places:
                    assert isinstance(place.locator, Span)
                    stretch = range(place.locator.start, place.locator.end)
                    if len(stretch) == place.end - place.start:
                        seen += 1
                        words = "".join(original.get(i, " ") for i in stretch)
                        assert (part.text or "")[place.start : place.end] == words
        assert seen, "no place leads back to the source"

    def test_items_never_cross_pages(self, splitter: Splitter) -> None:
        pages = set()
        for item in splitter.split(SCAN, READER, scan()):
            assert isinstance(item.locator, Page)
            pages.add(item.locator.number)
            inside = {
                place.locator.number
                for part in item.parts
                for place in part.places
                if isinstance(place.locator, Page)
            }
            assert inside <= {item.locator.number}
        assert pages == {1, 2}

    def test_a_heading_is_known_to_the_passages_below_it(self, splitter: Splitter) -> None:
        items = splitter.split(MANUAL, READER, manual())
        below = [item for item in items if "weekdays" in item.text]
        assert below
        assert all("Support" in str(item.metadata.get("heading", "")) for item in below)
        above = [item for item in items if "aluminium" in item.text]
        assert not any("Support" in str(item.metadata.get("heading", "")) for item in above)

    def test_a_figure_is_an_item_with_its_words(self, splitter: Splitter) -> None:
        found = [item for item in splitter.split(MANUAL, READER, manual()) if item.modality == "image"]
        assert len(found) == 1
        assert found[0].parts[0].media == "c" * 64
        assert {part.role for part in found[0].parts if part.text} == {"alt", "caption"}
        assert "Wiring" in found[0].text
        assert "blue wire" in str(found[0].metadata.get("context", ""))
        assert "Installation" in str(found[0].metadata.get("heading", ""))

    def test_the_title_is_known_to_all(self, splitter: Splitter) -> None:
        items = splitter.split(MANUAL, READER, manual())
        assert {item.metadata.get("title") for item in items} == {"Halden relay"}


WORDS = WORDS_OF_A_MANUAL


def manual() -> Reading:
    """Return a reading with headings, paragraphs and a figure."""
    figure = Block(
        "figure",
        Span(700, 760),
        (
            Part("image", media="c" * 64),
            Part("text", text="Wiring of the relay", role="alt"),
            Part("text", text="Figure 1: terminals", role="caption"),
        ),
        neighbours=WORDS[1],
    )
    return Reading(
        (
            _heading("Halden relay", 1, start=0),
            *_paragraphs(WORDS[:1], start=20),
            _heading("Installation", 2, start=500),
            *_paragraphs(WORDS[1:3], start=520),
            figure,
            _heading("Support", 2, start=800),
            *_paragraphs(WORDS[6:7], start=820),
        ),
        title="Halden relay",
    )


def scan() -> Reading:
    """Return a reading of two pages whose words have boxes."""
    blocks = []
    for number in (1, 2):
        for i, text in enumerate(WORDS[:3]):
            box = Box(0.1, 0.1 + 0.2 * i, 0.9, 0.2 + 0.2 * i)
            places = (Place(0, len(text), Page(number, box)),)
            blocks.append(
                Block("paragraph", Page(number, box), (Part("text", text=text, role="ocr", places=places),))
            )
    return Reading(tuple(blocks))


def _heading(text: str, level: int, *, start: int) -> Block:
    span = Span(start, start + len(text))
    return Block(
        "heading", span, (Part("text", text=text, places=(Place(0, len(text), span),)),), level=level
    )


def _paragraphs(texts: Sequence[str], *, start: int = 0) -> tuple[Block, ...]:
    blocks = []
    for text in texts:
        span = Span(start, start + len(text))
        blocks.append(
            Block("paragraph", span, (Part("text", text=text, places=(Place(0, len(text), span),)),))
        )
        start = span.end + 2
    return tuple(blocks)


def _contains(words: list[str], wanted: list[str]) -> bool:
    # Words may be parted by a cut and by words that two passages share, but keep their order.
    rest = iter(words)
    return all(any(word == other for other in rest) for word in wanted)


def _start(item: Item) -> int:
    assert isinstance(item.locator, Span)
    return item.locator.start
