from pathlib import Path

import pytest

from mmrag.core.protocols import Index, TextIndex
from mmrag.index.ann.index import FaissIndex
from mmrag.index.ann.options import FaissOptions
from mmrag.index.exact import ExactOptions
from mmrag.index.lexical import LexicalOptions
from mmrag.index.okapi import OkapiOptions
from mmrag.testing import IndexContract, TextIndexContract


class TestExact(IndexContract):
    def make(self, dim: int) -> Index:
        return ExactOptions().empty(dim)

    def load(self, folder: Path) -> Index:
        return ExactOptions().load(folder)


class WithFaiss(IndexContract):
    """Rows are folded into the base after they are added: the tail beside it is exact."""

    options = FaissOptions()

    def make(self, dim: int) -> Index:
        pytest.importorskip("faiss")
        return self.options.empty(dim)

    def load(self, folder: Path) -> Index:
        return self.options.load(folder)

    def settle(self, index: Index) -> None:
        assert isinstance(index, FaissIndex)
        index.merge()


class TestFaissUnmerged(WithFaiss):
    def settle(self, index: Index) -> None:
        """Leave all rows in the tail."""


class TestFaissFlat(WithFaiss):
    options = FaissOptions(kind="flat")


class TestFaissIvfFlat(WithFaiss):
    options = FaissOptions(kind="ivf-flat")
    min_recall = 0.9


class TestFaissIvfSq8(WithFaiss):
    options = FaissOptions(kind="ivf-sq8")
    min_recall, score_tolerance = 0.9, 6e-3


class TestFaissIvfPq(WithFaiss):
    options = FaissOptions(kind="ivf-pq")
    min_recall, score_tolerance = 0.9, 3e-4


class TestFaissIvfPqRefinedByInt8(WithFaiss):
    options = FaissOptions(kind="ivf-pq", refine="sq8")
    min_recall, score_tolerance = 0.9, 6e-3


class TestFaissIvfRabitq(WithFaiss):
    options = FaissOptions(kind="ivf-rabitq")
    min_recall, score_tolerance = 0.9, 3e-4


class TestFaissHnsw(WithFaiss):
    options = FaissOptions(kind="hnsw")
    min_recall = 0.9


class TestFaissFlatSq8(WithFaiss):
    options = FaissOptions(kind="flat-sq8")
    min_recall, score_tolerance = 0.9, 6e-3


class TestFaissFlatBinary(WithFaiss):
    options = FaissOptions(kind="flat-binary")
    min_recall, score_tolerance = 0.9, 3e-4


class TestTantivy(TextIndexContract):
    forgets_at_once = False

    def make(self) -> TextIndex:
        return LexicalOptions().open(None)


class TestOkapi(TextIndexContract):
    def make(self) -> TextIndex:
        return OkapiOptions().open(None)
