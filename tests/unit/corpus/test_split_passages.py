import re
from collections.abc import Sequence

import pytest

from mmrag.core.errors import ConfigError
from mmrag.core.protocols import Splitter
from mmrag.core.reading import Block, BlockKind, Reading
from mmrag.core.types import Box, Cells, Item, Page, Part, Place, Source, SourceId, Span
from mmrag.corpus.split import PassageOptions, PassageSplitter

SOURCE = Source(SourceId("a.md"), "0" * 64, 1, "text/markdown")


def count(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def block(text: str, kind: BlockKind = "paragraph", *, level: int = 0, at: int = 0, page: int = 0) -> Block:
    where = Page(page, Box(0.1, 0.1 + at / 1024, 0.9, 0.11 + at / 1024)) if page else Span(at, at + len(text))
    return Block(kind, where, (Part("text", text=text, places=(Place(0, len(text), where),)),), level=level)


def words(n: int, tag: str = "w") -> str:
    return " ".join(f"{tag}{i}" for i in range(n))


def sentences(n: int, length: int = 10) -> str:
    return " ".join(f"S{i} {words(length - 2)} end." for i in range(n))


def split(blocks: Sequence[Block], **options: int) -> list[Item]:
    return PassageSplitter(count, **options).split(
        SOURCE, "markdown/1", Reading(tuple(blocks), title="Manual")
    )


def test_is_a_splitter_with_an_identity() -> None:
    splitter = PassageOptions(max_tokens=100).build(count)
    assert isinstance(splitter, Splitter)
    assert splitter.identity != PassageOptions(max_tokens=101).build(count).identity


@pytest.mark.parametrize("options", [{"max_tokens": 8}, {"min_tokens": 200}, {"overlap_sentences": -1}])
def test_senseless_numbers_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        PassageSplitter(count, **options)


def test_no_text_of_any_size_is_counted_as_a_whole() -> None:
    longest = 0

    def watched(texts: Sequence[str]) -> list[int]:
        nonlocal longest
        longest = max(longest, *map(len, texts))
        return count(texts)

    rows = "\n".join(f"pump {i} | {i} litres a minute" for i in range(3000))
    items = PassageSplitter(watched).split(SOURCE, "text/1", Reading((block(rows, "table"),)))
    assert longest <= 40 * 200
    assert [line for item in items for line in item.text.split("\n")[item is not items[0] :]] == rows.split(
        "\n"
    )


def test_paragraphs_are_packed_up_to_the_limit() -> None:
    items = split([block(words(90, f"p{i}-")) for i in range(5)])
    assert [len(item.text.split()) for item in items] == [180, 180, 90]
    assert all(item.text.count("\n") <= 1 for item in items)


def test_headings_give_the_path_and_part_passages() -> None:
    items = split(
        [
            block("Intro words stand first."),
            block("Relay", "heading", level=1),
            block("Care", "heading", level=2),
            block("Wipe it."),
            block("Service", "heading", level=2),
            block("Send it."),
            block("Index", "heading", level=1),
        ]
    )
    assert [(item.metadata.get("heading"), item.text) for item in items] == [
        (None, "Intro words stand first."),
        ("Relay > Care", "Wipe it."),
        ("Relay > Service", "Send it."),
        ("Index", "Index"),
    ]
    assert {item.metadata["title"] for item in items} == {"Manual"}


def test_small_sections_below_the_top_share_a_passage() -> None:
    items = split(
        [
            block("Top", "heading", level=1),
            block("a", "heading", level=3),
            block("alpha words"),
            block("b", "heading", level=3),
            block("beta words"),
        ]
    )
    assert [(item.metadata["heading"], item.text) for item in items] == [
        ("Top > a", "alpha words\nb\nbeta words")
    ]


def test_tiny_rests_join_the_passage_before() -> None:
    items = split([block(words(195)), block(words(10))])
    assert [len(item.text.split()) for item in items] == [205]
    items = split([block(words(195)), block(words(60))])
    assert [len(item.text.split()) for item in items] == [195, 60]


def test_passages_never_cross_pages() -> None:
    items = split([block("one", page=1), block("two", page=1, at=512), block("three", page=2)])
    assert [(item.text, item.locator) for item in items] == [
        ("one\ntwo", Page(1, Box(0.1, 0.1, 0.9, 0.61))),
        ("three", Page(2, Box(0.1, 0.1, 0.9, 0.11))),
    ]


def test_long_paragraphs_are_cut_between_sentences() -> None:
    items = split([block(sentences(45), at=7)])
    assert [len(item.text.split()) for item in items] == [200, 200, 50]
    for item in items:
        assert re.match(r"S\d+ ", item.text)
        assert item.text.endswith("end.")
        assert isinstance(item.locator, Span)
    assert items[0].locator.start == 7  # type: ignore[union-attr]


def test_overlap_repeats_the_last_sentence() -> None:
    items = split([block(sentences(45))], overlap_sentences=1)
    assert items[1].text.startswith("S19 ")
    assert items[0].text.split("S19 ")[1] in items[1].text


@pytest.mark.parametrize(
    "text", ["See e.g. Figure 2. It has 3.5 V.", "Dr. Who came. He left.", "Nr. 5 lebt. Es geht."]
)
def test_abbreviations_end_no_sentence(text: str) -> None:
    from mmrag.corpus.stretch import Stretch, sentence_stretches

    assert len(sentence_stretches(Stretch(text, ()))) == 2


def test_a_word_without_end_is_cut_all_the_same() -> None:
    def pieces(texts: Sequence[str]) -> list[int]:
        return [max(len(text) // 4, 1) for text in texts]

    text = "x" * 5000
    items = PassageSplitter(pieces).split(SOURCE, "text/1", Reading((block(text),)))
    assert "".join(item.text for item in items) == text
    assert all(len(item.text) <= 800 for item in items)


def test_tables_stay_whole_or_repeat_their_header() -> None:
    rows = ["Part | Price", *[f"part {i} | {i} EUR" for i in range(100)]]
    (whole,) = split([block("\n".join(rows[:20]), "table")])
    assert whole.text.count("\n") == 19
    items = split([block("before " * 5), block("\n".join(rows), "table"), block("after " * 30)])
    tables = [item for item in items if "EUR" in item.text]
    assert len(tables) > 2
    assert all(item.text.startswith("Part | Price\npart ") for item in tables)
    assert sum(item.text.count("EUR") for item in tables) == 100
    assert not any("before" in item.text or "after" in item.text for item in tables)


def test_pieces_of_a_table_stand_under_its_caption() -> None:
    rows = "\n".join(["Code | Meaning", *(f"E{i} | trouble {i}" for i in range(100))])
    items = split([block("Faults", "heading", level=1), block("Table 7: Error codes"), block(rows, "table")])
    pieces = [item for item in items if "E5" in item.text or "E99" in item.text]
    assert len(pieces) >= 2
    assert {item.metadata["heading"] for item in pieces} == {"Faults > Table 7: Error codes"}
    (other, *_) = split([block("No caption at all."), block(rows, "table")])[1:]
    assert "heading" not in other.metadata


def table_of(rows: Sequence[str], page: int, **metadata: str | int) -> Block:
    """A table whose first row stands at the top of page 1, the others on `page`."""
    places, start = [], 0
    for i, row in enumerate(rows):
        where = Page(page if i else 1, Box(0.1, i / 256, 0.9, (i + 1) / 256))
        places.append(Place(start, start + len(row), where))
        start += len(row) + 1
    part = Part("text", text="\n".join(rows), places=tuple(places))
    return Block("table", Page(page, Box(0.1, 0.0, 0.9, len(rows) / 256)), (part,), metadata=metadata)


def test_pieces_of_a_table_say_which_rows_they_hold() -> None:
    rows = ["Code | Meaning", *(f"E{i} | trouble {i}" for i in range(1, 101))]
    items = split([block("\n".join(rows), "table")], max_tokens=100)
    for item in items:
        first, *_, last = [row.split(" ")[0][1:] for row in item.text.split("\n")[1:]]
        assert item.metadata["rows"] == f"{first}-{last}"
    assert items[-1].metadata["rows"].endswith("-100")  # type: ignore[union-attr]
    (whole,) = split([block("\n".join(rows[:20]), "table")])
    assert "rows" not in whole.metadata


def test_rows_of_sheets_need_no_other_address() -> None:
    text = "\n".join(["Code | Meaning", *(f"E{i} | trouble {i}" for i in range(1, 101))])
    places = (Place(0, len(text), Cells("Codes", 1, 101)),)
    sheet = Block("table", Cells("Codes", 1, 101), (Part("text", text=text, places=places),))
    assert all("rows" not in item.metadata for item in split([sheet]))


@pytest.mark.parametrize("count_of_rows", [10, 100])
def test_a_table_that_goes_on_counts_on_and_stands_on_its_own_page(count_of_rows: int) -> None:
    rows = ["Code | Meaning", *(f"E{i} | trouble {i}" for i in range(41, 41 + count_of_rows))]
    table = table_of(rows, 2, first_row=41, caption="Table 7: Error codes")
    items = split([block("See the next page.", page=1), table], max_tokens=300)
    own = items[1:]
    assert str(own[0].metadata["rows"]).startswith("41-")
    assert str(own[-1].metadata["rows"]).endswith(f"-{40 + count_of_rows}")
    assert {item.metadata["heading"] for item in own} == {"Table 7: Error codes"}
    for item in own:
        assert isinstance(item.locator, Page)
        assert item.locator.number == 2
        assert item.parts[0].places[0].locator == Page(1, Box(0.1, 0.0, 0.9, 1 / 256))
        assert not {"caption", "first_row"} & set(item.metadata)


def test_the_caption_that_a_reader_found_is_not_guessed_again() -> None:
    rows = [f"part {i} | {i} EUR" for i in range(100)]
    above = block("Table 1: What stands above", page=2)
    pieces = split([above, table_of(rows, 2, caption="")])[1:]
    assert pieces
    assert all("heading" not in item.metadata for item in pieces)


def test_a_table_without_header_repeats_none() -> None:
    table = block("\n".join(f"part {i} | {i} EUR" for i in range(100)), "table")
    items = split([Block("table", table.locator, table.parts, metadata={"header_rows": 0, "anchor": "t"})])
    assert sum(item.text.count("part 0 |") for item in items) == 1
    assert {item.metadata.get("anchor") for item in items} == {"t"}
    assert all("header_rows" not in item.metadata for item in items)


def test_code_keeps_its_indents() -> None:
    code = "\n".join(["def f():", *[f"    x{i} = {words(5)}" for i in range(60)]])
    items = split([block(code, "code")])
    assert "\n".join(item.text for item in items) == code


def test_figures_are_items_of_their_own() -> None:
    figure = Block(
        "figure",
        Span(50, 60),
        (Part("image", media="f" * 64), Part("text", text="Figure 1: wiring", role="caption")),
        neighbours="before\nafter",
    )
    items = split([block("Care", "heading", level=1), block("before"), figure, block("after")])
    text, picture = items
    assert text.text == "before\nafter"
    assert picture.modality == "image"
    assert picture.metadata == {
        "title": "Manual",
        "heading": "Care",
        "context": "before\nafter",
        "language": "en",
    }
    assert picture.locator == Span(50, 60)


def test_language_is_that_of_the_passage_or_of_the_whole() -> None:
    english = (
        "The warranty of the relay is valid for the time that is given in the letter which came with it. " * 4
    )
    german = (
        "Die Garantie des Gerätes gilt für die Zeit, die in dem Brief steht, der mit ihm gekommen ist. " * 4
    )
    head = [block(english.strip()), block("Anhang", "heading", level=1), block(german.strip())]
    items = split([*head, block("Teil", "heading", level=1), block("K1")])
    assert [item.metadata.get("language") for item in items] == ["en", "de", "en"]


def test_ids_depend_on_place_and_splitter_not_on_the_path() -> None:
    blocks = [block(words(50))]
    (one,) = split(blocks)
    moved = Source(SourceId("b/c.md"), "0" * 64, 1, "text/markdown")
    (two,) = PassageSplitter(count).split(moved, "markdown/1", Reading(tuple(blocks), title="Manual"))
    (three,) = split(blocks, max_tokens=100)
    assert one.id == two.id != three.id


def test_counting_is_batched() -> None:
    calls = []

    def counting(texts: Sequence[str]) -> list[int]:
        calls.append(len(texts))
        return count(texts)

    blocks = [block(words(30)) for _ in range(200)] + [block(sentences(50)) for _ in range(20)]
    PassageSplitter(counting).split(SOURCE, "text/1", Reading(tuple(blocks)))
    assert len(calls) == 2


@pytest.mark.parametrize("kind", ["paragraph", "heading", "code", "table", "list"])
def test_a_word_without_end_is_cut_whatever_its_count_of_tokens(kind: BlockKind) -> None:
    text = "begin " + "x" * 100_000 + " end"
    seen: list[int] = []

    def count(texts: Sequence[str]) -> list[int]:
        seen.extend(map(len, texts))
        return [len(t.split()) for t in texts]

    blocks = (block(text, kind, level=int(kind == "heading")), block("after", at=len(text)))
    items = PassageSplitter(count).split(SOURCE, "text/1", Reading(blocks))
    assert max(seen) <= 40 * 200
    assert max(len(item.text) for item in items) <= 2 * 40 * 200
    assert sum(item.text.count("x") for item in items) == 100_000
    assert all(len(str(item.metadata.get("heading", ""))) <= 1000 for item in items)
