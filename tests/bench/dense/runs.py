"""Running stages in processes of their own, and keeping what they found in a JSON file."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_ENVIRONMENT = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1"
) | {"LANCE_LOG": "error", "RUST_LOG": "error"}
"""One thread for everyone, as far as an engine can be told; CPU seconds count all of them anyway.

LANCE_CPU_THREADS=1 with LANCE_IO_THREADS=1 stops LanceDB 0.40 for ever as it builds: it keeps its threads.
"""

_PACKAGES = ("numpy", "faiss-cpu", "hnswlib", "lancedb", "pymilvus", "milvus-lite", "chromadb")


class StageError(Exception):
    """A stage ended without a result; the message is the end of what it wrote to stderr."""


def run(stage: str, arguments: dict[str, object], limit_s: float) -> dict[str, Any]:
    """Run a stage in a process of its own and return its result.

    Raises:
        StageError: It failed, or took longer than `limit_s`.
    """
    with tempfile.TemporaryDirectory() as place:
        result, words = Path(place) / "result.json", Path(place) / "stderr"
        command = [sys.executable, "-m", "dense.stage", stage, json.dumps(arguments), str(result)]
        with words.open("wb") as errors:
            try:
                code = subprocess.run(
                    command,
                    cwd=Path(__file__).parents[1],
                    env=os.environ | _ENVIRONMENT,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    timeout=limit_s,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired as error:
                raise StageError(f"{stage} took longer than {limit_s:.0f} s") from error
        if code or not result.exists():
            last = words.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise StageError(f"{stage} ended with code {code}: {' '.join(last)}")
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return found


class Results:
    """A JSON file of results, written after every stage, so that a run can go on where it stopped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.all: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self.all["machine"] = _machine()

    def at(self, *keys: str) -> dict[str, Any]:
        """Return the results under some keys, to be filled in."""
        place = self.all
        for key in keys:
            place = place.setdefault(key, {})
        return place

    def write(self) -> None:
        """Replace the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_suffix(".tmp")
        aside.write_text(json.dumps(self.all, indent=1), encoding="utf-8")
        aside.replace(self.path)


def _machine() -> dict[str, object]:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"cpu": model, "cores": os.cpu_count(), "versions": versions}
