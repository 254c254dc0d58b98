"""Look at the installation: what works here, what is missing and what brings it."""

from __future__ import annotations

import io
import platform
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mmrag.core.errors import MmragError
from mmrag.core.finding import Checkable, Finding, Verdict
from mmrag.core.protocols import Embedder
from mmrag.core.types import Query
from mmrag.embed.check import size_in_words
from mmrag.index.ann.devices import Pair, describe_pair
from mmrag.recipes import PipelineRecipe, load_pipeline

_PACKAGES = (
    *("numpy", "pyarrow", "onnxruntime", "tokenizers", "tantivy", "pypdfium2", "pillow", "selectolax"),
    "watchfiles",
)
_LOCAL = ("torch", "transformers", "sentence-transformers", "peft")
_OPTIONAL = (
    ("rapidocr", "ocr", "text in scans and pictures"),
    ("av", "media", "audio and video"),
    *((name, "local", "models on this machine") for name in _LOCAL),
    ("httpx2", "remote", "models on a server"),
)
_PIXELS = 448
"""The side of the picture that a model is tried with."""


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
    loaded = load_pipeline(recipe)
    for finding in examine(loaded):
        yield replace(finding, name=f"recipe {loaded.name}: {finding.name}")


def examine(recipe: PipelineRecipe, *, load: bool = False) -> Iterator[Finding]:
    """Yield what a recipe needs, and whether it is here.

    Args:
        recipe: The recipe.
        load: Also load its models, and embed a text and a picture; without, only an embedder that has no
            other way to tell is tried.
    """
    index = recipe.index
    if index.parameters:
        yield Finding("size", "ok", _size(index.parameters, weighed=hasattr(index.embedder, "dtype")))
    for extra in recipe.needs:
        # Components look for what brings them themselves.
        if extra == "media":
            yield _package("av", "Run: pip install 'mmrag[media]'", "missing")
        elif extra == "cpu":
            yield _faiss(describe_pair())
    well = True
    if isinstance(index.embedder, Checkable):
        for finding in index.embedder.check():
            well = well and finding.verdict == "ok"
            yield finding
    if load and not well:
        yield Finding("embedder", "missing", "not loaded: see above", "Mend what is above.")
    elif load or not isinstance(index.embedder, Checkable):
        yield _tried("embedder", lambda: _embeds(index.embedder.build()))
    if isinstance(index.captioner, Checkable):
        for finding in index.captioner.check():
            yield replace(finding, name=f"captioner: {finding.name}")
    if (ocr := index.ocr) is not None:
        yield _tried("ocr", lambda: str(ocr.build().identity))


def _size(parameters: str, *, weighed: bool) -> str:
    """Say what so many parameters take; recipes write them as people do: 2.2B, 151M.

    `weighed` says that the recipe chooses the precision: the embedded default is what it is.
    """
    unit = {"B": 1e9, "M": 1e6}.get(parameters[-1:])
    try:
        count = float(parameters[:-1]) * unit if unit else 0.0
    except ValueError:
        count = 0.0
    stored = f", {size_in_words(2 * count)} in 16 bits" if count and weighed else ""
    return f"{parameters} parameters{stored}"


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


def _embeds(embedder: Embedder) -> str:
    started = time.perf_counter()
    texts = embedder.embed_queries([Query.of("a question")])
    loaded = time.perf_counter()
    told = f"{embedder.identity.get('embedder', type(embedder).__name__)}, {texts.dim} dimensions"
    told += f"; loaded and embedded a text in {loaded - started:.1f} s"
    if "image" in embedder.modalities:
        with tempfile.TemporaryDirectory(prefix="mmrag-") as folder:
            picture = Path(folder) / "picture.png"
            picture.write_bytes(_picture())
            embedder.embed_queries([Query.of(image=picture)])
        told += f", a picture in {time.perf_counter() - loaded:.1f} s"
    return told


def _picture() -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((_PIXELS, _PIXELS)).save(out, "PNG")
    return out.getvalue()


def _tried(name: str, attempt: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "ok", attempt())
    except MmragError as error:
        return Finding(name, "missing", error.message, error.fix)
