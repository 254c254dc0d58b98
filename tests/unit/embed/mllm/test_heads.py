"""Heads: numbers of the cards, a plain restatement, and errors that name what is missing."""

from types import SimpleNamespace

import pytest
import torch

from mmrag.core.errors import ModelError
from mmrag.embed.mllm.heads import make_head
from mmrag.embed.mllm.options import Head


def test_residual_mlp_of_identities() -> None:
    eye, zero = torch.eye(2), torch.zeros(2)
    head = make_head(
        Head("residual_mlp", prefix="mlp_head.", hidden=2),
        {"a.weight": eye, "a.bias": zero, "b.weight": eye, "b.bias": zero},
    )
    assert head.tokens is None
    assert head.vector is not None
    found = head.vector(torch.tensor([[1.0, -1.0]]))
    assert torch.allclose(found, torch.tensor([[2.050701, -2.111331]]), atol=1e-5)


def test_residual_mlp_applies_the_first_layer_first() -> None:
    torch.manual_seed(0)
    first, second = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    tensors = {
        **{f"layer2.{name}": value.detach() for name, value in second.state_dict().items()},
        **{f"layer1.{name}": value.detach() for name, value in first.state_dict().items()},
    }
    head = make_head(Head("residual_mlp", hidden=4), tensors)
    vector = torch.randn(3, 4)
    assert head.vector is not None
    assert torch.allclose(head.vector(vector), vector + second(torch.selu(first(vector))), atol=1e-6)


def test_linear_projects() -> None:
    layer = torch.nn.Linear(4, 2, bias=False)
    head = make_head(Head("linear", hidden=2), {"weight": layer.weight.detach()})
    vector = torch.randn(3, 4)
    assert head.vector is not None
    assert torch.allclose(head.vector(vector), layer(vector), atol=1e-6)


def test_latent_attention_is_its_restatement(latent: SimpleNamespace) -> None:
    tensors = latent.tensors(width=6, latents=5, inner=8)
    head = make_head(Head("latent_attention", latents=5, heads=2, head_dim=4), tensors)
    states = torch.randn(7, 6)
    assert head.tokens is not None
    assert head.vector is None
    assert torch.allclose(head.tokens(states), latent.attention(states, tensors, heads=2), atol=1e-4)


def test_latent_attention_names_what_is_missing(latent: SimpleNamespace) -> None:
    tensors = latent.tensors(width=6, latents=5, inner=8)
    del tensors["cross_attend_blocks.0.fn.to_q.weight"]
    with pytest.raises(ModelError, match="to_q"):
        make_head(Head("latent_attention", latents=5, heads=2, head_dim=4), tensors)


def test_another_shape_than_the_recipe_says_is_refused(latent: SimpleNamespace) -> None:
    tensors = latent.tensors(width=6, latents=5, inner=8)
    with pytest.raises(ModelError, match="5 latents"):
        make_head(Head("latent_attention", latents=512, heads=2, head_dim=4), tensors)
    with pytest.raises(ModelError, match="inner width"):
        make_head(Head("residual_mlp", hidden=4096), {"a.weight": torch.eye(2), "b.weight": torch.eye(2)})
    with pytest.raises(ModelError, match="numbers"):
        make_head(Head("linear", hidden=3), {"weight": torch.eye(2)})


def test_a_head_without_weights_is_refused() -> None:
    with pytest.raises(ModelError, match="mlp_head"):
        make_head(Head("residual_mlp", prefix="mlp_head."), {})
