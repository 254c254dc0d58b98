"""The whole way: a recipe with adapters, pictures and words; no query adapter may move a document."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mmrag.embed.adapters.options import AdapterOptions, AdapterRule
from mmrag.embed.content import Content, Picture
from mmrag.embed.local import LocalEmbedder
from mmrag.embed.mllm import MllmOptions
from mmrag.embed.mllm.options import Form

from .conftest import Make

Tiny = Callable[[str], Path]


def picture(shade: int) -> Picture:
    data = BytesIO()
    Image.new("RGB", (70, 56), (shade, 90, 200 - shade)).save(data, "PNG")
    return Picture(data.getvalue)


CONTENTS: tuple[tuple[str | Picture, ...], ...] = (
    ("a red sofa",),
    (picture(30),),
    (picture(160), "the tower is 330 metres tall"),
    ("what is the capital of France?",),
)


def embedder(folder: Path, adapters: AdapterOptions) -> LocalEmbedder:
    torch.set_num_threads(1)
    return MllmOptions(model=str(folder), architecture="qwen2_vl", adapters=adapters).build()


def embed(model: LocalEmbedder, role: Any) -> Any:
    found = list(model.embed_contents(Content(parts, role) for parts in CONTENTS))
    assert [one.error for one in found] == [None] * len(found)
    return np.concatenate([one.vectors for one in found])  # type: ignore[misc]


@pytest.fixture(scope="module")
def asked(tiny: Tiny, make_adapter: Make) -> tuple[LocalEmbedder, LocalEmbedder]:
    """An embedder whose fused queries take an adapter, as ABC has it, and one without adapters."""
    rules = (AdapterRule("ask", role="query", modalities=("image", "text")),)
    options = AdapterOptions(load={"ask": str(make_adapter(1))}, rules=rules)
    return embedder(tiny("qwen2_vl"), options), embedder(tiny("qwen2_vl"), AdapterOptions())


def test_documents_are_bit_identical_with_and_without_a_query_adapter(
    asked: tuple[LocalEmbedder, LocalEmbedder],
) -> None:
    with_it, without = asked
    assert with_it.identity == without.identity
    assert np.array_equal(embed(with_it, "document"), embed(without, "document"))


def test_a_query_takes_the_adapter_by_what_it_holds(asked: tuple[LocalEmbedder, LocalEmbedder]) -> None:
    with_it, without = asked
    changed = np.abs(embed(with_it, "query") - embed(without, "query")).max(axis=1)
    assert changed[2] > 0.01
    assert max(changed[[0, 1, 3]]) < 1e-6


def test_a_picture_with_an_instruction_in_its_words_counts_as_both(tiny: Tiny, make_adapter: Make) -> None:
    rules = (AdapterRule("ask", role="query", modalities=("image", "text")),)
    adapters = AdapterOptions(load={"ask": str(make_adapter(1))}, rules=rules)
    model: Any = MllmOptions(
        model=str(tiny("qwen2_vl")),
        architecture="qwen2_vl",
        query=Form(fused="{image}Instruction: {text}", instruction_in="text"),
        adapters=adapters,
    ).build()
    model = model._model.load("cpu")
    asked = model.prepare(Content((picture(30),), "query", "what colour"))
    alone = model.prepare(Content((picture(30),), "query"))
    assert (asked.data.adapter, alone.data.adapter) == ("ask", None)


def test_rows_of_many_adapters_are_as_if_each_were_alone(tiny: Tiny, make_adapter: Make) -> None:
    folder = tiny("qwen2_vl")
    load = {"one": str(make_adapter(1)), "two": str(make_adapter(2))}
    rules = (AdapterRule("one", modalities=("image",)), AdapterRule("two", modalities=("text",)))
    mixed = embed(embedder(folder, AdapterOptions(load=load, rules=rules)), "document")
    one = embed(embedder(folder, AdapterOptions(load=load, default="one")), "document")
    two = embed(embedder(folder, AdapterOptions(load=load, default="two")), "document")
    bare = embed(embedder(folder, AdapterOptions()), "document")
    wanted = np.stack([two[0], one[1], bare[2], two[3]])
    np.testing.assert_allclose(mixed, wanted, atol=1e-5)
    assert np.abs(one - two).max() > 0.01
