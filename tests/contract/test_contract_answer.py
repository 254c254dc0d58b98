from collections.abc import Sequence

import numpy as np

from mmrag.answer.extractive import ExtractiveOptions
from mmrag.core.fields import search_text
from mmrag.core.protocols import Answerer
from mmrag.core.types import Item
from mmrag.embed.minilm import MiniLMOptions
from mmrag.index.okapi import OkapiOptions
from mmrag.testing import AnswererContract


class TestExtractive(AnswererContract):
    def make(self, items: Sequence[Item]) -> Answerer:
        lexicon = OkapiOptions().open(None)
        lexicon.add(np.arange(len(items), dtype=np.int64), [search_text(item) for item in items])
        lexicon.commit()
        return ExtractiveOptions().build(MiniLMOptions(threads=1).build(), lexicon)
