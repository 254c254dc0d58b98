"""Embedders of named models that need no weights, recipes over them, and a folder of two files."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from mmrag import Query
from mmrag.cli.main import main
from mmrag.core.types import Embeddings
from mmrag.recipes import COMPONENTS
from mmrag.testing import HashingEmbedder, HashingOptions

FILES = {
    "pump.txt": "The impeller of the pump is made of phosphor bronze.",
    "tank.txt": "The tank holds 60 litres and is made of steel.",
}
ASKED: list[Query] = []


@dataclass(frozen=True)
class NamedEmbedder(HashingEmbedder):
    """A hashing embedder of a named model that remembers what it was asked, and stops at a word."""

    model: str = "small"
    tasks: frozenset[str] = frozenset({"visual", "other", "t"})

    @property
    def identity(self) -> Mapping[str, str]:
        return {**super().identity, "model": self.model}

    def embed_items(self, items, media=None) -> Embeddings:
        if any("breakdown" in item.text for item in items):
            raise RuntimeError("the power is gone")
        return super().embed_items(items)

    def embed_queries(self, queries: Sequence[Query]) -> Embeddings:
        ASKED.extend(queries)
        return super().embed_queries([Query.of(query.text or "nothing") for query in queries])


@dataclass(frozen=True)
class SeeingNamed(NamedEmbedder):
    @property
    def modalities(self):
        return frozenset({"text", "image"})


@dataclass(frozen=True, slots=True)
class NamedOptions:
    model: str
    sees: bool = False

    def build(self) -> NamedEmbedder:
        return (SeeingNamed if self.sees else NamedEmbedder)(64, model=Path(self.model).name)


@pytest.fixture
def components():
    COMPONENTS.embedder.register("hashing", HashingOptions)
    COMPONENTS.embedder.register("named", NamedOptions)
    ASKED.clear()
    yield
    for name in ("hashing", "named"):
        COMPONENTS.embedder._registered.pop(name)


@pytest.fixture
def asked(components) -> list[Query]:
    """Every query that a named embedder was asked."""
    return ASKED


@pytest.fixture
def named_options(components) -> type[NamedOptions]:
    return NamedOptions


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    root.mkdir()
    for name, text in FILES.items():
        (root / name).write_text(text)
    return root


@pytest.fixture
def recipe(tmp_path: Path):
    def write(name: str, embedder: str) -> Path:
        path = tmp_path / f"{name}.yaml"
        rest = "ocr: null\npictures: null\ndense: exact\n"
        path.write_text(f"recipe: 1\nextends: default\nembedder: {{{embedder}}}\n{rest}")
        return path

    return write


@pytest.fixture
def small(recipe) -> Path:
    return recipe("small", "type: named, model: small")


@pytest.fixture
def large(recipe) -> Path:
    return recipe("large", "type: named, model: large")


@pytest.fixture
def mmrag(monkeypatch, capsys):
    def run(*args: object, code: int = 0) -> dict:
        monkeypatch.setattr(sys, "argv", ["mmrag", *map(str, args), "--json"])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        assert left.value.code == code, said
        return json.loads(said.out)

    return run
