"""After `forget`, no stretch of a forgotten text stands in any file, unless another source has it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mmrag.core.fields import embedding_key
from mmrag.core.identity import digest_bytes
from mmrag.core.types import Item, ItemId, Part, Source, SourceId, Span
from mmrag.index.ann.options import FaissOptions
from mmrag.index.lexical import LexicalOptions
from mmrag.index.published import Indexes, publish
from mmrag.index.upkeep import leftovers, row_lists
from mmrag.store import SourceRecord, Store, Writer, forget, verify
from mmrag.store.needles import Needles
from mmrag.testing import HashingEmbedder

EMBEDDER = HashingEmbedder()
INDEXES = Indexes(FaissOptions(kind="flat"), LexicalOptions())
WINDOW = 24

words = st.sampled_from(
    [
        "valve",
        "Größe",
        "depot",
        '"quoted"',
        "back\\slash",
        "filter",
        "日本語のテキスト",
        "zanzibar",
        "nine hundred",
        "\n",
        "x",
    ]
)
texts = st.lists(words, min_size=1, max_size=60).map(" ".join)
sources = st.dictionaries(
    st.sampled_from(["a/long-name-one.txt", "b/long-name-two.txt", "c/größe.txt", "third.md", "x"]),
    st.lists(texts, min_size=1, max_size=4, unique=True),
    min_size=2,
)


def _put(writer: Writer, id: str, own: list[str]) -> None:
    items = [
        Item(ItemId(digest_bytes(t.encode())[:32]), SourceId(id), Span(0, len(t)), (Part("text", text=t),))
        for t in own
    ]
    keys = [embedding_key(item) for item in items]
    writer.add_vectors(keys, EMBEDDER.embed_items(items))
    writer.put(
        SourceRecord(Source(SourceId(id), digest_bytes(id.encode()), 1, "text/plain"), 0, "indexed"),
        items,
        keys,
    )
    writer.cache("ocr", digest_bytes(own[0].encode()), own[0].encode(), SourceId(id))
    writer.commit()


def _windows(data: bytes, size: int = WINDOW) -> set[bytes]:
    return {data[i : i + size] for i in range(len(data) - size + 1)}


@settings(max_examples=12, deadline=None)
@given(content=sources, older=sources, data=st.data())
def test_no_stretch_of_a_forgotten_text_is_left(content, older, data):
    gone = data.draw(st.lists(st.sampled_from(sorted(content)), min_size=1, unique=True))
    folder = Path(tempfile.mkdtemp())
    try:
        with Store.create(folder / "s", identity=EMBEDDER.identity) as store:
            with store.writer() as writer:
                for id, own in [*older.items(), *content.items()]:
                    if id in content:
                        _put(writer, id, own)
            publish(store, INDEXES)
            report = forget(
                store,
                [SourceId(id) for id in gone],
                publish=lambda: publish(store, INDEXES),
                leftovers=leftovers(store, INDEXES.lexical),
            )
            assert report.clean, report
            left = b"\xff".join(path.read_bytes() for path in store.path.rglob("*") if path.is_file())
            stays = sorted(content.keys() - set(gone))
            # What OCR read in an earlier version is kept as long as its source.
            staying = "\0\0".join(t for id in stays for t in content[id] + older.get(id, [])).encode()
            # A byte shorter: the length of a text that stays may look like a blank of one that goes.
            kept = _windows(staying, WINDOW - 1)
            for id in gone:
                mine = [*content[id], *older.get(id, ())]
                gone_windows = _windows("\x01\x01".join(mine).encode())
                own = {w for w in gone_windows if w[1:] not in kept and w[:-1] not in kept}
                assert not own & _windows(left)
            assert [record.source.id for record in store.sources()] == stays
            checked = verify(store, row_lists(store, INDEXES))
            assert (checked.problems, checked.orphans) == ((), 0)
    finally:
        shutil.rmtree(folder)


@settings(max_examples=200, deadline=None)
@given(
    needles=st.lists(st.binary(min_size=5, max_size=60), min_size=1, max_size=8),
    pieces=st.lists(st.one_of(st.binary(max_size=40), st.integers(0, 7)), max_size=8),
)
def test_the_search_finds_what_find_finds(needles, pieces):
    data = b"".join(needles[piece % len(needles)] if isinstance(piece, int) else piece for piece in pieces)
    search = Needles(8)
    for needle in needles:
        search.add_whole(needle, "n")
    assert search.ready().find(data) == {needle: data.find(needle) for needle in needles if needle in data}


@settings(max_examples=200, deadline=None)
@given(secret=st.binary(min_size=23, max_size=300), start=st.integers(0, 277), around=st.binary(max_size=50))
def test_any_run_of_the_reach_is_found(secret, start, around):
    search = Needles(8)
    search.add(secret, "n")
    start = min(start, len(secret) - search.reach)
    run = secret[start : start + search.reach]
    # Windows of fewer than 4 different bytes are left out.
    if all(len(set(run[i : i + 16])) >= 4 for i in range(8)):
        assert search.ready().find(around + run + around)
