"""Look at the installation: what works here, what is missing and what brings it."""

from __future__ import annotations

import platform
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from mmrag.core.errors import MmragError
from mmrag.core.protocols import Embedder
from mmrag.core.types import Query
from mmrag.index.ann.devices import Pair, describe_pair
from mmrag.recipes import load_pipeline

Verdict = Literal["ok", "missing", "broken"]

_PACKAGES = (
    *("numpy", "pyarrow", "onnxruntime", "tokenizers", "tantivy", "pypdfium2", "pillow", "selectolax"),
    "watchfiles",
)
_OPTIONAL = (
    ("rapidocr", "ocr", "text in scans and pictures"),
    ("av", "media", "audio and video"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `fix` is empty when it is well."""

    name: str
    verdict: Verdict
    detail: str
    fix: str = ""


def diagnose(recipe: str = "default") -> Iterator[Finding]:
    """Yield findings as they are made, the recipe's own parts last."""
    yield Finding("python", "ok", platform.python_version())
    yield Finding("sqlite", "ok", sqlite3.sqlite_version)
    for package in _PACKAGES:
        yield _package(package, "pip install --force-reinstall mmrag", "broken")
    for package, extra, purpose in _OPTIONAL:
        yield _package(package, f"For {purpose}: pip install 'mmrag[{extra}]'", "missing")
    yield _faiss(describe_pair())
    tesseract = shutil.which("tesseract")
    yield Finding(
        "tesseract",
        "ok" if tesseract else "missing",
        tesseract or "not on the PATH",
        "" if tesseract else "Only needed by recipes with `ocr: tesseract`.",
    )
    yield from _recipe(recipe)


def _package(name: str, fix: str, otherwise: Verdict) -> Finding:
    try:
        return Finding(name, "ok", version(name))
    except PackageNotFoundError:
        return Finding(name, otherwise, "not installed", fix)


def _faiss(pair: Pair) -> Finding:
    """Tell which FAISS is here, and the CUDA of torch beside it: two of them share one process."""
    if len(pair.wheels) > 1:
        fix = f"They share one module: pip uninstall {' '.join(pair.wheels)}, then install one."
        return Finding("faiss", "broken", f"{' and '.join(pair.wheels)} are both installed", fix)
    if pair.build is None:
        return Finding("faiss", "missing", "not installed", "For FAISS indexes: pip install 'mmrag[cpu]'")
    told = f"{pair.build.version}, {'CUDA' if pair.build.is_cuda else 'CPU only'}"
    if pair.build.is_cuda:
        told += f", {pair.build.gpus} GPUs seen"
    return Finding("faiss", "ok", told if pair.torch is None else f"{told}; torch {pair.torch}")


def _recipe(name: str) -> Iterator[Finding]:
    recipe = load_pipeline(name)
    yield _tried(f"recipe {recipe.name}: embedder", lambda: _embeds(recipe.index.embedder.build()))
    if (ocr := recipe.index.ocr) is not None:
        yield _tried(f"recipe {recipe.name}: ocr", lambda: str(ocr.build().identity))


def _embeds(embedder: Embedder) -> str:
    vectors = embedder.embed_queries([Query.of("a question")])
    return f"{embedder.identity.get('embedder', type(embedder).__name__)}, {vectors.dim} dimensions"


def _tried(name: str, attempt: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "ok", attempt())
    except MmragError as error:
        return Finding(name, "missing", error.message, error.fix)
