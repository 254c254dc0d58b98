"""Means taken away from vectors: by a file that the report writes, named in a recipe."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmrag.core.errors import ConfigError
from mmrag.core.types import Query
from mmrag.embed.centre import read_centres, write_centres
from mmrag.embed.dual.options import DualOptions
from mmrag.testing.samples import picture_item, text_item

DIM = 24


def png(colour: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(out, "PNG")
    return out.getvalue()


def test_an_embedder_with_centres_gives_centred_vectors(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    pictures = [png((200, 30, 30)), png((30, 30, 200))]
    items = [text_item("relay"), picture_item(pictures[0]), text_item("pump"), picture_item(pictures[1])]
    shown = {items[1].parts[0].media: pictures[0], items[3].parts[0].media: pictures[1]}
    options = DualOptions(str(tiny("clip")), "clip")
    plain = options.build()
    before = plain.embed_items(items, lambda _, part: shown[part.media]).vectors
    means = {"text": before[[0, 2]].mean(axis=0), "image": before[[1, 3]].mean(axis=0)}
    write_centres(tmp_path / "centres.npz", means)
    moved = replace(options, centres=str(tmp_path / "centres.npz")).build()
    after = moved.embed_items(items, lambda _, part: shown[part.media]).vectors
    wanted = before - np.stack([means["text"], means["image"]] * 2)
    np.testing.assert_allclose(after, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-5)
    asked = plain.embed_queries([Query.of("relay")]).vectors[0] - means["text"]
    found = moved.embed_queries([Query.of("relay")]).vectors[0]
    np.testing.assert_allclose(found, asked / np.linalg.norm(asked), atol=1e-5)
    assert moved.identity["centres"] != ""
    assert {k: v for k, v in moved.identity.items() if k != "centres"} == dict(plain.identity)


def test_other_means_are_another_identity(tmp_path: Path) -> None:
    for name, value in (("a", 0.1), ("b", 0.2)):
        write_centres(tmp_path / name, {"text": np.full(DIM, value, np.float32)})
    digests = {centres.digest for name in "ab" if (centres := read_centres(str(tmp_path / name), DIM))}
    assert len(digests) == 2


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 torn", b"no zip"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "centres.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_centres(str(path), DIM)


def test_means_of_another_embedder_are_refused(tmp_path: Path) -> None:
    write_centres(tmp_path / "centres.npz", {"text": np.ones(DIM + 1, np.float32)})
    with pytest.raises(ConfigError, match=f"not for vectors of {DIM}"):
        read_centres(str(tmp_path / "centres.npz"), DIM)
