from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from mmrag.answer.extractive import Extractive, ExtractiveOptions
from mmrag.core.fields import SearchText
from mmrag.core.protocols import Rows
from mmrag.core.types import Item, Matches
from mmrag.testing.fakes import HashingEmbedder


class WordLexicon:
    """Words in lower case without a plural s; idf over the given texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._count = len(texts)
        self._found = Counter(term for text in texts for term in set(self.analyze(text)))

    def add(self, rows: Rows, texts: Sequence[SearchText]) -> None:
        raise NotImplementedError

    def remove(self, rows: Rows) -> None:
        raise NotImplementedError

    def search(self, queries: Sequence[str], k: int, *, allow: Rows | None = None) -> Matches:
        raise NotImplementedError

    def idf(self, terms: Sequence[str]) -> NDArray[np.float32]:
        n = self._count
        found = (self._found[term] for term in terms)
        return np.array([math.log(1 + (n - f + 0.5) / (f + 0.5)) for f in found], np.float32)

    def analyze(self, text: str) -> list[str]:
        return [re.sub(r"(?<=\w{3})s$", "", word) for word in re.findall(r"[^\W_]+", text.lower())]

    def __len__(self) -> int:
        return self._count


@pytest.fixture
def make_extractive():
    def make(items: Sequence[Item], options: ExtractiveOptions | None = None) -> Extractive:
        lexicon = WordLexicon([item.text for item in items])
        return (options or ExtractiveOptions()).build(HashingEmbedder(), lexicon)

    return make
