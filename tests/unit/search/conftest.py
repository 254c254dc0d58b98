"""A small corpus with copies, behind real indexes and an embedder that hashes words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from mmrag.core.fields import search_text
from mmrag.core.types import Item, Part, SourceId
from mmrag.index.exact import ExactIndex
from mmrag.index.okapi import OkapiOptions
from mmrag.search import DenseLane, HybridRetriever, LexicalLane, MinMaxFusion
from mmrag.testing.fakes import HashingEmbedder
from mmrag.testing.samples import WORDS_OF_A_MANUAL, picture_item, text_item


@dataclass
class World:
    """Items by row; `gone` rows are in the indexes but no longer in the store."""

    items: dict[int, Item]
    embedder: HashingEmbedder
    gone: set[int] = field(default_factory=set)
    loads: list[int] = field(default_factory=list)
    depth: int = 100

    def load(self, rows: Sequence[int]) -> Mapping[int, Item]:
        self.loads.append(len(rows))
        return {row: self.items[row] for row in rows if row in self.items and row not in self.gone}

    def retriever(self, **options) -> HybridRetriever:
        rows = np.array(sorted(self.items), np.int64)
        items = [self.items[row] for row in rows.tolist()]
        words = OkapiOptions().open(None)
        words.add(rows, [search_text(item) for item in items])
        words.commit()
        dense = ExactIndex.over(rows, self.embedder.embed_items(items))
        lanes = [LexicalLane(words), DenseLane(self.embedder, dense)]
        return HybridRetriever(lanes, MinMaxFusion(), self.load, **{"depth": self.depth, **options})


def moved(item: Item, source: str) -> Item:
    return Item(item.id, SourceId(source), item.locator, item.parts, item.metadata)


@pytest.fixture
def world() -> World:
    passages = [text_item(text, source=f"m{i}.md") for i, text in enumerate(WORDS_OF_A_MANUAL)]
    picture = picture_item(b"relay", alt="Wiring diagram of the relay", source="relay.png")
    figure = Item(
        picture.id.__class__("figure-in-a-page"),
        SourceId("guide.html"),
        picture.locator,
        (*picture.parts, Part("text", text="as seen from behind")),
    )
    items = dict(enumerate(passages))
    items |= {20: moved(passages[0], "copy/m0.md"), 21: picture, 22: figure, 23: moved(passages[0], "m0.md")}
    return World(items, HashingEmbedder(languages=frozenset({"en"})))
