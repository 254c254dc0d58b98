"""What stands after the language model, as functions over states; weights stay float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mmrag.core.errors import ModelError
from mmrag.embed.mllm.options import Head

_ROWS_AT_ONCE = 1024
"""Of the latent attention: its inner width is 8 heads of 4096, 131 kB a token."""

_LATENT_NAMES = (
    "latents",
    "cross_attend_blocks.0.norm.weight",
    "cross_attend_blocks.0.norm.bias",
    "cross_attend_blocks.0.norm_context.weight",
    "cross_attend_blocks.0.norm_context.bias",
    "cross_attend_blocks.0.fn.to_q.weight",
    "cross_attend_blocks.0.fn.to_kv.weight",
    "cross_attend_blocks.0.fn.to_out.weight",
    "cross_attend_blocks.1.norm.weight",
    "cross_attend_blocks.1.norm.bias",
    "cross_attend_blocks.1.fn.net.0.weight",
    "cross_attend_blocks.1.fn.net.0.bias",
    "cross_attend_blocks.1.fn.net.2.weight",
    "cross_attend_blocks.1.fn.net.2.bias",
)


@dataclass(frozen=True, slots=True)
class HeadStep:
    """A head: what it does to every pooled token, and to the vector; None for nothing.

    Shapes:
        both: float32 [n, width] -> float32 [n, width or another]
    """

    tokens: Callable[[Any], Any] | None = None
    vector: Callable[[Any], Any] | None = None


def make_head(head: Head, tensors: Mapping[str, Any]) -> HeadStep:
    """Make the head of a recipe out of its weights.

    Args:
        head: The recipe's choice.
        tensors: The weights below `head.prefix`, by their names without it; on the model's device.

    Raises:
        ModelError: A weight is missing or has another shape.
    """
    if head.kind == "none":
        return HeadStep()
    weights = {name: tensor.float() for name, tensor in tensors.items()}
    if head.kind == "residual_mlp":
        return HeadStep(vector=_residual_mlp(head, weights))
    if head.kind == "linear":
        return HeadStep(vector=_linear(head, weights))
    return HeadStep(tokens=_latent_attention(head, weights))


def _linear(head: Head, weights: Mapping[str, Any]) -> Callable[[Any], Any]:
    import torch

    weight = _one_layer(head, weights, 1)[0]
    if weight[0].shape[0] != head.hidden:
        raise ModelError(
            f"The head gives {weight[0].shape[0]} numbers, the recipe says {head.hidden}.",
            fix="Correct head.hidden in the recipe.",
        )

    def project(vectors: Any) -> Any:
        return torch.nn.functional.linear(vectors, *weight)

    return project


def _residual_mlp(head: Head, weights: Mapping[str, Any]) -> Callable[[Any], Any]:
    import torch

    into, out = _one_layer(head, weights, 2)
    if into[0].shape[0] != head.hidden or out[0].shape != into[0].shape[::-1]:
        raise ModelError(
            f"The head's layers have shapes {tuple(into[0].shape)} and {tuple(out[0].shape)}, and the recipe "
            f"says an inner width of {head.hidden}.",
            fix="Correct head.hidden in the recipe.",
        )

    def add(vectors: Any) -> Any:
        inner = torch.selu(torch.nn.functional.linear(vectors, *into))
        return vectors + torch.nn.functional.linear(inner, *out)

    return add


def _one_layer(head: Head, weights: Mapping[str, Any], layers: int) -> list[tuple[Any, Any]]:
    # What the layers are called differs; their order by name does not.
    names = sorted(name for name, tensor in weights.items() if name.endswith("weight") and tensor.ndim == 2)
    if len(names) != layers:
        raise _lacking(head, f"{layers} matrices, found {len(names)}")
    return [(weights[name], weights.get(name.removesuffix("weight") + "bias")) for name in names]


def _latent_attention(head: Head, weights: Mapping[str, Any]) -> Callable[[Any], Any]:
    import torch

    functional = torch.nn.functional
    missing = [name for name in _LATENT_NAMES if name not in weights]
    if missing:
        raise _lacking(head, ", ".join(missing))
    attend, feed = "cross_attend_blocks.0.", "cross_attend_blocks.1."
    latents = weights["latents"]
    inner = head.heads * head.head_dim
    if latents.shape[0] != head.latents or weights[f"{attend}fn.to_q.weight"].shape[0] != inner:
        raise ModelError(
            f"The head has {latents.shape[0]} latents and an inner width of "
            f"{weights[f'{attend}fn.to_q.weight'].shape[0]}; the recipe says {head.latents} and {inner}.",
            fix="Correct head.latents, head.heads and head.head_dim in the recipe.",
        )

    def norm(states: Any, name: str) -> Any:
        return functional.layer_norm(
            states, states.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"]
        )

    def split(states: Any) -> Any:
        return states.unflatten(-1, (head.heads, head.head_dim)).transpose(-3, -2)

    # The latents never change: neither do their keys and values.
    known = functional.linear(norm(latents, f"{attend}norm_context"), weights[f"{attend}fn.to_kv.weight"])
    keys, values = (split(half) for half in known.chunk(2, dim=-1))

    def through(states: Any) -> Any:
        queries = split(functional.linear(norm(states, f"{attend}norm"), weights[f"{attend}fn.to_q.weight"]))
        seen = functional.scaled_dot_product_attention(queries[None], keys[None], values[None])[0]
        states = states + functional.linear(
            seen.transpose(-3, -2).flatten(-2), weights[f"{attend}fn.to_out.weight"]
        )
        wide = functional.linear(
            norm(states, f"{feed}norm"), weights[f"{feed}fn.net.0.weight"], weights[f"{feed}fn.net.0.bias"]
        )
        value, gate = wide.chunk(2, dim=-1)
        return states + functional.linear(
            value * functional.gelu(gate), weights[f"{feed}fn.net.2.weight"], weights[f"{feed}fn.net.2.bias"]
        )

    def attend_all(states: Any) -> Any:
        return torch.cat([through(part) for part in states.split(_ROWS_AT_ONCE)])

    return attend_all


def _lacking(head: Head, what: str) -> ModelError:
    return ModelError(
        f"The checkpoint lacks weights of the recipe's head {head.kind!r} below {head.prefix!r}: {what}.",
        fix="Correct head.prefix in the recipe, or download the whole checkpoint.",
    )
