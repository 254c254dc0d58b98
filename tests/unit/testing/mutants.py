"""Components with one fault each; the suite must catch every one by the test that it names."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import QueryError
from mmrag.core.identity import item_id
from mmrag.core.protocols import Draft, Media, Quote, Rows
from mmrag.core.reading import Reading
from mmrag.core.types import Embeddings, Hit, Item, Matches, Part, Query, Source
from mmrag.testing import (
    AnswererContract,
    EmbedderContract,
    FusionContract,
    HashingEmbedder,
    IndexContract,
    RetrieverContract,
    SplitterContract,
)


class TestEmbedder(EmbedderContract):
    caught_by = ""

    def make(self) -> HashingEmbedder:
        return HashingEmbedder()


class Longer(HashingEmbedder):
    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return 2 * super().embed_texts(texts)


class TestLonger(EmbedderContract):
    caught_by = "test_vectors_have_length_one"

    def make(self) -> HashingEmbedder:
        return Longer()


class Doubles(HashingEmbedder):
    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return super().embed_texts(texts).astype(np.float64)


class TestDoubles(EmbedderContract):
    caught_by = "test_items_give_well_formed_embeddings"

    def make(self) -> HashingEmbedder:
        return Doubles()


class Sorted(HashingEmbedder):
    def embed_items(self, items: Sequence[Item], media: Media | None = None) -> Embeddings:
        return super().embed_items(sorted(items, key=lambda item: len(item.text)))


class TestSorted(EmbedderContract):
    caught_by = "test_row_i_belongs_to_item_i"

    def make(self) -> HashingEmbedder:
        return Sorted()


class Centred(HashingEmbedder):
    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        found = super().embed_texts(texts)
        if len(found) > 1:
            found = found - 0.3 * found.mean(axis=0)
            found /= np.linalg.norm(found, axis=1, keepdims=True)
        return found


class TestCentred(EmbedderContract):
    caught_by = "test_the_batch_does_not_matter"

    def make(self) -> HashingEmbedder:
        return Centred()


class Nosy(HashingEmbedder):
    def embed_items(self, items: Sequence[Item], media: Media | None = None) -> Embeddings:
        return Embeddings.dense(self.embed_texts([f"{item.source} {item.text}" for item in items]))


class TestNosy(EmbedderContract):
    caught_by = "test_only_the_embedding_key_matters"

    def make(self) -> HashingEmbedder:
        return Nosy()


class NaiveIndex:
    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.held: dict[int, NDArray[np.float32]] = {}

    def _check(self, embeddings: Embeddings) -> None:
        if embeddings.dim != self.dim:
            raise QueryError(f"The index has dim {self.dim}, not {embeddings.dim}.", fix="Embed again.")

    def add(self, rows: Rows, embeddings: Embeddings) -> None:
        self._check(embeddings)
        for row, vector in zip(rows.tolist(), embeddings.vectors, strict=True):
            self.held[row] = vector.copy()

    def remove(self, rows: Rows) -> None:
        for row in rows.tolist():
            self.held.pop(row, None)

    def order(self, rows: Rows, scores: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.lexsort((rows, -scores))

    def allowed(self, allow: Rows | None, k: int) -> list[int]:
        return sorted(self.held) if allow is None else [row for row in allow.tolist() if row in self.held]

    def search(self, queries: Embeddings, k: int, *, allow: Rows | None = None) -> Matches:
        self._check(queries)
        found = Matches(
            np.full((len(queries), k), -1, dtype=np.int64), np.full((len(queries), k), -np.inf, np.float32)
        )
        rows = np.array(self.allowed(allow, k), dtype=np.int64)
        if not len(rows):
            return found
        vectors = np.stack([self.held[row] for row in rows.tolist()])
        for i, query in enumerate(queries.vectors):
            scores = vectors @ query
            best = self.order(rows, scores)[:k]
            found.rows[i, : len(best)], found.scores[i, : len(best)] = rows[best], scores[best]
        return found

    def save(self, folder: Path) -> None:
        rows = np.array(sorted(self.held), dtype=np.int64)
        vectors = np.array([self.held[row] for row in rows.tolist()], np.float32).reshape(-1, self.dim)
        np.savez(folder / "index.npz", rows=rows, vectors=vectors)

    @classmethod
    def load(cls, folder: Path) -> "NaiveIndex":
        with np.load(folder / "index.npz") as kept:
            index = cls(kept["vectors"].shape[1])
            index.add(kept["rows"], Embeddings.dense(kept["vectors"]))
        return index

    def __len__(self) -> int:
        return len(self.held)


class TestNaive(IndexContract):
    caught_by = ""
    kind: ClassVar[type[NaiveIndex]] = NaiveIndex

    def make(self, dim: int) -> NaiveIndex:
        return self.kind(dim)

    def load(self, folder: Path) -> NaiveIndex:
        return self.kind.load(folder)


class TiesByAge(NaiveIndex):
    def order(self, rows: Rows, scores: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.lexsort((-rows, -scores))


class TestTiesByAge(TestNaive):
    caught_by = "test_ties_go_to_the_smaller_row"
    kind = TiesByAge


class FiltersAfterwards(NaiveIndex):
    def search(self, queries: Embeddings, k: int, *, allow: Rows | None = None) -> Matches:
        found = super().search(queries, k)
        if allow is not None:
            hidden = ~np.isin(found.rows, allow)
            found.rows[hidden], found.scores[hidden] = -1, -np.inf
        return found


class TestFiltersAfterwards(TestNaive):
    caught_by = "test_allow_is_exact"
    kind = FiltersAfterwards


class AllowsAnything(NaiveIndex):
    def allowed(self, allow: Rows | None, k: int) -> list[int]:
        return sorted(self.held) if allow is None or not len(allow) else super().allowed(allow, k)


class TestAllowsAnything(TestNaive):
    caught_by = "test_nothing_allowed_is_nothing_found"
    kind = AllowsAnything


class NarrowRows(NaiveIndex):
    def search(self, queries: Embeddings, k: int, *, allow: Rows | None = None) -> Matches:
        found = super().search(queries, k, allow=allow)
        return Matches(found.rows.astype(np.int32).astype(np.int64), found.scores)


class TestNarrowRows(TestNaive):
    caught_by = "test_an_item_finds_itself"
    kind = NarrowRows


class Borrows(NaiveIndex):
    def add(self, rows: Rows, embeddings: Embeddings) -> None:
        self._check(embeddings)
        self.held.update(zip(rows.tolist(), embeddings.vectors, strict=True))


class TestBorrows(TestNaive):
    caught_by = "test_it_keeps_its_own_copy"
    kind = Borrows


class KeepsOld(NaiveIndex):
    def add(self, rows: Rows, embeddings: Embeddings) -> None:
        self._check(embeddings)
        for row, vector in zip(rows.tolist(), embeddings.vectors, strict=True):
            self.held.setdefault(row, vector.copy())


class TestKeepsOld(TestNaive):
    caught_by = "test_adding_a_row_again_replaces_it"
    kind = KeepsOld


class HalfPrecision(NaiveIndex):
    def search(self, queries: Embeddings, k: int, *, allow: Rows | None = None) -> Matches:
        found = super().search(queries, k, allow=allow)
        return Matches(found.rows, found.scores.astype(np.float16).astype(np.float32))


class TestHalfPrecision(TestNaive):
    caught_by = "test_scores_are_inner_products"
    kind = HalfPrecision


def good_fusion(lanes: Mapping[str, Matches], k: int) -> Matches:
    total: dict[int, float] = {}
    for name in sorted(lanes):
        real = [row for row in lanes[name].rows.ravel().tolist() if row != -1]
        for rank, row in enumerate(real, start=1):
            total[row] = total.get(row, 0.0) + 1 / (60 + rank)
    best = sorted(total, key=lambda row: (-total[row], row))[:k]
    return Matches(
        np.array([best], dtype=np.int64).reshape(1, -1),
        np.array([[total[row] for row in best]], dtype=np.float32).reshape(1, -1),
    )


class TestFusion(FusionContract):
    caught_by = ""

    def make(self, lanes: Sequence[str]) -> Callable[[Mapping[str, Matches], int], Matches]:
        return good_fusion


class TestRawSum(FusionContract):
    caught_by = "test_the_scale_of_a_lane_does_not_matter"

    def make(self, lanes: Sequence[str]) -> Callable[[Mapping[str, Matches], int], Matches]:
        def fuse(found: Mapping[str, Matches], k: int) -> Matches:
            total: dict[int, float] = {}
            for lane in found.values():
                for row, score in zip(lane.rows.ravel().tolist(), lane.scores.ravel().tolist(), strict=True):
                    if row != -1:
                        total[row] = total.get(row, 0.0) + score
            best = sorted(total, key=lambda row: (-total[row], row))[:k]
            return Matches(
                np.array(best, dtype=np.int64).reshape(1, -1),
                np.array([total[row] for row in best], dtype=np.float32).reshape(1, -1),
            )

        return fuse


class TestLastLaneWins(FusionContract):
    caught_by = "test_the_order_of_the_lanes_does_not_matter"

    def make(self, lanes: Sequence[str]) -> Callable[[Mapping[str, Matches], int], Matches]:
        return lambda found, k: good_fusion(dict(list(found.items())[-1:]), k)


class WordRetriever:
    def __init__(self, items: Mapping[int, Item]) -> None:
        self.items = items

    def retrieve(self, query: Query, k: int, *, allow: Rows | None = None) -> list[Hit]:
        if "image" in query.modalities:
            from mmrag.core.errors import UnsupportedModality

            raise UnsupportedModality("It takes no picture.", fix="Ask in words.")
        wanted = set(query.text.casefold().split())
        rows = self.items if allow is None else [row for row in allow.tolist() if row in self.items]
        scores = {row: len(wanted & set(self.items[row].text.casefold().split())) for row in rows}
        best = sorted((row for row in scores if scores[row]), key=lambda row: (-scores[row], row))[:k]
        return [
            Hit(self.items[row], scores[row], {"words": scores[row]}, {"words": rank})
            for rank, row in enumerate(best, start=1)
        ]


class TestRetriever(RetrieverContract):
    caught_by = ""

    def make(self, items: Mapping[int, Item]) -> WordRetriever:
        return WordRetriever(items)


class WorstFirst(WordRetriever):
    def retrieve(self, query: Query, k: int, *, allow: Rows | None = None) -> list[Hit]:
        return super().retrieve(query, k, allow=allow)[::-1]


class TestWorstFirst(RetrieverContract):
    caught_by = "test_at_most_k_hits_best_first"

    def make(self, items: Mapping[int, Item]) -> WordRetriever:
        return WorstFirst(items)


class NoHistory(WordRetriever):
    def retrieve(self, query: Query, k: int, *, allow: Rows | None = None) -> list[Hit]:
        return [replace(hit, ranks={}) for hit in super().retrieve(query, k, allow=allow)]


class TestNoHistory(RetrieverContract):
    caught_by = "test_hits_carry_their_history"

    def make(self, items: Mapping[int, Item]) -> WordRetriever:
        return NoHistory(items)


class Parrot:
    """Quotes the first passage that shares four words with the question."""

    def compose(self, query: Query, hits: Sequence[Hit]) -> Draft:
        wanted = set(query.text.casefold().replace("?", "").split()) - {"the"}
        for i, hit in enumerate(hits):
            if len(wanted & set(hit.item.text.casefold().replace(".", "").split())) >= 3:
                return Draft(hit.item.text, (Quote(i, hit.item.text, 0.9),), complete=True)
        return Draft("", (), complete=False, notes=("Nothing was found.",))


class TestAnswerer(AnswererContract):
    caught_by = ""

    def make(self, items: Sequence[Item]) -> Parrot:
        return Parrot()


class Shouts(Parrot):
    def compose(self, query: Query, hits: Sequence[Hit]) -> Draft:
        draft = super().compose(query, hits)
        return replace(draft, quotes=tuple(replace(quote, text=quote.text + "!") for quote in draft.quotes))


class TestShouts(AnswererContract):
    caught_by = "test_quotes_stand_word_for_word_in_their_hit"

    def make(self, items: Sequence[Item]) -> Parrot:
        return Shouts()


class AlwaysAnswers(Parrot):
    def compose(self, query: Query, hits: Sequence[Hit]) -> Draft:
        text = hits[0].item.text if hits else "I think so."
        return Draft(text, (Quote(0, text, 1.0),), complete=True)


class TestAlwaysAnswers(AnswererContract):
    caught_by = "test_a_question_beside_the_evidence_is_not_answered"

    def make(self, items: Sequence[Item]) -> Parrot:
        return AlwaysAnswers()


class BlockSplitter:
    identity = "blocks/1"
    ids_from_path = False

    def split(self, source: Source, reader: str, reading: Reading) -> list[Item]:
        items = []
        for block in reading.blocks:
            parts: tuple[Part, ...] = block.parts
            salt = source.id if self.ids_from_path else ""
            name = item_id(parts, block.locator, reader=reader + salt, splitter=self.identity)
            items.append(Item(name, source.id, block.locator, parts))
        return items


class TestBlocks(SplitterContract):
    caught_by = "test_no_passage_is_longer_than_the_bound"

    def make(self, count_tokens: Callable[[Sequence[str]], list[int]]) -> BlockSplitter:
        return BlockSplitter()


class ByPath(BlockSplitter):
    ids_from_path = True


class TestByPath(SplitterContract):
    caught_by = "test_a_moved_file_keeps_its_ids"

    def make(self, count_tokens: Callable[[Sequence[str]], list[int]]) -> BlockSplitter:
        return ByPath()
