"""The shipped recipes of dual encoders, and items and queries through the public embedder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmrag.core.errors import NotFound, QueryError, UnsupportedModality
from mmrag.core.types import Item, ItemId, Page, Part, Query, SourceId
from mmrag.embed.content import Content, Picture
from mmrag.embed.dual.model import DualModel
from mmrag.embed.dual.options import DualOptions
from mmrag.recipes import check, load_index

UNIIR_TASKS = {"text-to-image", "image-to-text", "composed"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clip", {"architecture": "clip", "fusion": "none", "takes_instruction": False}),
        ("siglip2", {"architecture": "siglip2", "fusion": "none", "lowercase": True}),
        ("clap", {"architecture": "clap", "fusion": "none", "max_text_tokens": 77}),
        ("bge-vl-base", {"architecture": "clip", "fusion": "sum", "text_weight": 1.0, "image_weight": 1.0}),
        ("bge-vl-large", {"architecture": "clip", "fusion": "sum", "takes_instruction": False}),
        ("uniir-clip-sf", {"architecture": "clip", "fusion": "sum", "normalize_text": "uniir"}),
        (
            "uniir-blip-ff",
            {"architecture": "blip", "fusion": "feature", "pooled": "pooler", "max_text_tokens": 100},
        ),
    ],
)
def test_a_shipped_recipe(name: str, expected: dict[str, Any]) -> None:
    assert check(f"indexes/{name}") == []
    recipe = load_index(name)
    assert isinstance(recipe.embedder, DualOptions)
    assert {key: getattr(recipe.embedder, key) for key in expected} == expected
    assert set(recipe.embedder.tasks) == (UNIIR_TASKS if name.startswith("uniir") else set())
    assert recipe.parameters
    assert "local" in recipe.needs


def test_a_recipe_without_its_model_says_what_to_do() -> None:
    with pytest.raises(NotFound, match="hf download BAAI/BGE-VL-base"):
        load_index("bge-vl-base").embedder.build()


def item(name: str, *parts: Part) -> Item:
    return Item(ItemId(name), SourceId(f"{name}.png"), Page(1), parts)


def test_items_and_queries_meet_in_one_space(
    options: Callable[..., DualOptions],
    dual: Callable[..., DualModel],
    image: Callable[..., Image.Image],
    picture: Callable[..., Picture],
    tmp_path: Path,
) -> None:
    given: dict[str, Any] = {
        "fusion": "sum",
        "pictures": "fused",
        "takes_instruction": True,
        "tasks": {"same": "find the same"},
        "normalize_text": "uniir",
    }
    embedder = options("clip", **given).build()
    model = dual("clip", **given)
    image(3).save(tmp_path / "three.png")
    items = [
        item("a", Part("text", text="a red sofa")),
        item("b", Part("image", media="3"), Part("text", text="a tower", role="caption")),
        item("c", Part("image", media="4")),
    ]
    opened: list[str] = []

    def media(item: Item, part: Part) -> bytes:
        opened.append(str(part.media))
        return picture(int(part.media or 0)).open()

    found = embedder.embed_items(items, media).vectors
    contents = [
        Content(("a red sofa",), "document"),
        Content((picture(3), "b\na tower"), "document"),
        Content((picture(4),), "document"),
    ]
    expected = model.run([model.prepare(content) for content in contents])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert sorted(opened) == ["3", "4"]

    queries = [
        Query.of("a red sofa"),
        Query.of(image=tmp_path / "three.png", task="same"),
        Query.of("a tower", image=tmp_path / "three.png", instruction="find it"),
    ]
    asked = [
        Content(("A red sofa.",), "query"),
        Content((picture(3), "Find the same."), "query"),
        Content((picture(3), "Find it. a tower."), "query"),
    ]
    expected = model.run([model.prepare(content) for content in asked])
    np.testing.assert_allclose(embedder.embed_queries(queries).vectors, expected, atol=1e-5)
    with pytest.raises(QueryError, match="no task 'other'"):
        embedder.embed_queries([Query.of("a", task="other")])
    assert embedder.count_tokens(["a cat", ""]) == model.count_tokens(["a cat", ""]) == [2, 0]


def test_a_refused_item_leaves_the_others_alone(
    options: Callable[..., DualOptions], picture: Callable[..., Picture]
) -> None:
    embedder = options("clip").build()
    two = item("two", Part("image", media="1"), Part("image", media="2"))
    stream = list(
        embedder.embed_stream(
            [item("a", Part("text", text="a")), two, item("b", Part("image", media="1"))],
            lambda item, part: picture(int(part.media or 0)).open(),
        )
    )
    assert [one.position for one in stream] == [0, 1, 2]
    assert isinstance(stream[1].error, UnsupportedModality)
    assert stream[0].vectors is not None
    assert stream[2].vectors is not None
    with pytest.raises(UnsupportedModality):
        embedder.embed_queries([Query.of("a tower", image="nowhere.png")])
