from pathlib import Path

import pytest

from mmrag.core.protocols import Index, TextIndex
from mmrag.index.bm25 import RankBm25Options
from mmrag.index.exact import ExactOptions
from mmrag.index.faiss import FaissOptions
from mmrag.index.lexical import LexicalOptions
from mmrag.testing import IndexContract, TextIndexContract


class TestExact(IndexContract):
    def make(self, dim: int) -> Index:
        return ExactOptions().build(dim)

    def load(self, folder: Path) -> Index:
        return ExactOptions().load(folder)


class WithFaiss(IndexContract):
    options = FaissOptions()

    def make(self, dim: int) -> Index:
        pytest.importorskip("faiss")
        return self.options.build(dim)

    def load(self, folder: Path) -> Index:
        return self.options.load(folder)


class TestFaissFlat(WithFaiss):
    options = FaissOptions(kind="flat")


class TestFaissIvf(WithFaiss):
    options = FaissOptions(kind="ivf", lists=8, probes=5)
    # Vectors without clusters are the worst case of inverted lists: 5 of 8 lists are read.
    min_recall = 0.6


class TestTantivy(TextIndexContract):
    forgets_at_once = False

    def make(self) -> TextIndex:
        return LexicalOptions().open(None)


class TestRankBm25(TextIndexContract):
    def make(self) -> TextIndex:
        return RankBm25Options().open(None)
