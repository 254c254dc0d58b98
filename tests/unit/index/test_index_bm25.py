import numpy as np
import pytest

from mmrag.core.errors import ConfigError
from mmrag.core.fields import SearchText
from mmrag.index.bm25 import RankBm25Options


def test_it_lives_in_memory_only(tmp_path):
    with pytest.raises(ConfigError, match="disk"):
        RankBm25Options().open(tmp_path)


def test_all_fields_are_one_bag():
    index = RankBm25Options().open()
    index.add(
        np.array([3, 1]),
        [SearchText("alpha", "", "bravo", "", ""), SearchText("", "", "bravo", "", "charlie")],
    )
    assert index.search(["alpha", "charlie"], 1).rows.tolist() == [[3], [1]]


def test_texts_without_a_word_do_no_harm():
    index = RankBm25Options().open()
    index.add(np.array([1, 2]), [SearchText("", "", "", "", "")] * 2)
    assert index.search(["alpha"], 2).rows.tolist() == [[-1, -1]]
    assert index.idf(["alpha"])[0] > 0


def test_a_word_that_every_row_has_still_matches():
    index = RankBm25Options().open()
    index.add(np.array([1, 2]), [SearchText("", "", "alpha", "", "")] * 2)
    assert index.search(["alpha"], 2).rows.tolist() == [[1, 2]]


def test_a_query_shorter_than_a_gram_matches_beginnings():
    index = RankBm25Options().open()
    index.add(np.arange(3), [SearchText("", "", body, "", "") for body in ("税金", "関税", "保修")])
    assert sorted(index.search(["税"], 2).rows[0].tolist()) == [0, 1]
