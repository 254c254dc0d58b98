import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mmrag.core.errors import Empty
from mmrag.core.protocols import ReadContext, Reader
from mmrag.core.types import Item, Source, SourceId, Span
from mmrag.corpus.readers.text import TextReader
from mmrag.corpus.readers.web.markdown import MarkdownReader
from mmrag.corpus.split import PassageSplitter
from mmrag.corpus.table_marks import ROWS

words = st.text("abcdefghäößéñ日本0123456789", min_size=1, max_size=9)
lines = st.lists(words, min_size=1, max_size=14).map(" ".join)
ends = st.sampled_from(["\n", "\r\n"])


def count(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def items_of(reader: Reader, text: str, name: str, max_tokens: int) -> list[Item]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(text.encode())
        source = Source(SourceId(name), "0" * 64, len(text), "text/plain")
        try:
            reading = reader.read(path, source, ReadContext(Path(folder)))
        except Empty:
            return []
    return PassageSplitter(count, max_tokens=max_tokens, min_tokens=5).split(source, "x/1", reading)


def places_hold(items: Sequence[Item], text: str) -> None:
    for item in items:
        assert isinstance(item.locator, Span)
        for part in item.parts:
            assert part.text is not None
            for place in part.places:
                assert isinstance(place.locator, Span)
                found = text[place.locator.start : place.locator.end]
                for word in re.findall(r"\w+", part.text[place.start : place.end]):
                    assert word in found
                assert place.locator.start <= place.locator.end <= item.locator.end
                # A piece of a table stands where its own rows are; the header that it repeats is above.
                assert item.locator.start <= place.locator.start or ROWS in item.metadata


def all_words(items: Sequence[Item]) -> set[str]:
    said = " ".join(item.text + " " + str(item.metadata.get("heading", "")) for item in items)
    return set(re.findall(r"\w+", said))


@given(
    st.lists(
        st.one_of(lines, st.just(""), lines.map(lambda t: f"- {t}"), lines.map(lambda t: f"   {t}.  {t}"))
    ),
    ends,
    st.sampled_from([16, 40]),
)
@settings(deadline=None, max_examples=150)
def test_text(rows: list[str], end: str, max_tokens: int) -> None:
    text = end.join(rows)
    items = items_of(TextReader(), text, "a.txt", max_tokens)
    places_hold(items, text)
    assert all_words(items) >= set(re.findall(r"\w+", text))
    # Plain text: each stretch is its source, character by character.
    for item in items:
        for place in item.parts[0].places:
            assert isinstance(place.locator, Span)
            assert item.text[place.start : place.end] == text[place.locator.start : place.locator.end]


marked = st.one_of(
    lines,
    lines.map(lambda t: f"**{t}** and `{t}`"),
    lines.map(lambda t: f"[{t}](http://example.org/x) *{t}*"),
)
blocks = st.one_of(
    marked,
    st.lists(marked, min_size=2, max_size=4).map("\n".join),
    lines.map(lambda t: f"# {t}"),
    lines.map(lambda t: f"### {t}"),
    st.lists(marked, min_size=1, max_size=5).map(lambda rows: "\n".join(f"- {row}" for row in rows)),
    st.lists(marked, min_size=1, max_size=5).map(
        lambda rows: "| a | b |\n|---|---|\n" + "\n".join(f"| {row} | x |" for row in rows)
    ),
    st.lists(lines, min_size=1, max_size=5).map(lambda rows: "```\n" + "\n".join(rows) + "\n```"),
    lines.map(lambda t: f"> {t}\n> {t}"),
)


@given(st.lists(blocks, max_size=8), ends, st.sampled_from([16, 40]))
@settings(deadline=None, max_examples=150)
def test_markdown(parts: list[str], end: str, max_tokens: int) -> None:
    text = ("\n\n".join(parts) + "\n").replace("\n", end)
    items = items_of(MarkdownReader(), text, "a.md", max_tokens)
    places_hold(items, text)
    written = set(re.findall(r"\w+", text.replace("(http://example.org/x)", "")))
    assert all_words(items) >= written
