"""Poolings: which states count, decided by each input alone."""

import numpy as np
import pytest
import torch

from mmrag.core.errors import ModelError
from mmrag.embed.mllm.options import Pooling
from mmrag.embed.mllm.pooling import Marks, average, pooled_tokens

MARKS = Marks(token=9, vision_start=3, vision_end=4)


def chosen(ids: list[int], pooling: Pooling, *, has_picture: bool = False, masked: int = 0) -> list[int]:
    found = pooled_tokens(np.array(ids), pooling, MARKS, has_picture=has_picture, masked=masked)
    return np.flatnonzero(found).tolist()


def test_last() -> None:
    assert chosen([7, 8, 5], Pooling("last")) == [2]


def test_mean_leaves_the_instruction_out() -> None:
    assert chosen([7, 8, 5, 1, 2], Pooling("mean"), masked=2) == [2, 3, 4]
    states = torch.tensor([[2.0, 1.0], [3.0, 1.0], [4.0, 1.0]])
    mean = torch.nn.functional.normalize(average(states, [3]), dim=-1)
    assert torch.allclose(mean, torch.tensor([[0.94868, 0.31623]]), atol=1e-5)


def test_token_before_takes_the_state_before_the_first() -> None:
    pooling = Pooling("token_before", token="<emb>")
    assert chosen([7, 8, 5, 9, 4, 9], pooling) == [2]


@pytest.mark.parametrize("ids", [[7, 8, 5], [9, 8, 5]])
def test_token_before_refuses_a_missing_token(ids: list[int]) -> None:
    with pytest.raises(ModelError, match="no <emb> token"):
        chosen(ids, Pooling("token_before", token="<emb>"))


def test_vision_span_has_both_marks_and_every_picture() -> None:
    pooling = Pooling("mean", image_kind="vision_span")
    assert chosen([1, 3, 6, 6, 4, 1], pooling, has_picture=True) == [1, 2, 3, 4]
    assert chosen([1, 3, 6, 4, 1, 3, 6, 4, 1], pooling, has_picture=True) == [1, 2, 3, 5, 6, 7]
    assert chosen([1, 2], pooling) == [0, 1]


def test_vision_span_refuses_a_missing_mark() -> None:
    with pytest.raises(ModelError, match="vision-start"):
        chosen([1, 2], Pooling("vision_span"))


def test_nothing_left_to_average_is_refused() -> None:
    with pytest.raises(ModelError, match="Nothing"):
        chosen([1, 2], Pooling("mean"), masked=2)


def test_every_input_has_its_own_mean() -> None:
    states = torch.tensor([[1.0, 0.0], [3.0, 2.0], [5.0, 4.0]])
    assert average(states, [1, 2]).tolist() == [[1.0, 0.0], [4.0, 3.0]]
