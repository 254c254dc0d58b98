"""Take each modality's mean away from its vectors: the simplest remedy of a gap between modalities."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import ConfigError
from mmrag.core.identity import digest_bytes

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Centres:
    """The mean vector of each modality of a corpus, as `mmrag embed report` found them.

    Source: Liang et al., Mind the Gap, NeurIPS 2022, section 4 (shifting embeddings along the gap).
    """

    means: Mapping[str, Vectors]

    @property
    def digest(self) -> str:
        """What marks them in the identity of vectors."""
        ordered = sorted(self.means.items())
        return digest_bytes(b"".join(name.encode() + mean.tobytes() for name, mean in ordered))[:16]

    def apply(self, vectors: Vectors, modality: str) -> Vectors:
        """Take the mean of a modality away and bring each vector back to length 1.

        Shapes:
            vectors float32 [n, dim] -> float32 [n, dim]
        """
        mean = self.means.get(modality)
        if mean is None:
            return vectors
        moved = vectors - mean
        lengths = np.linalg.norm(moved, axis=1, keepdims=True)
        unit: Vectors = np.divide(moved, lengths, out=moved, where=lengths > 0)
        return unit


def write_centres(path: Path, means: Mapping[str, Vectors]) -> None:
    """Write means as a file that `centres:` in a recipe takes."""
    with path.open("wb") as file:
        np.savez(file, **{name: mean.astype(np.float32) for name, mean in means.items()})  # type: ignore[arg-type]


def read_centres(path: str | None, dim: int) -> Centres | None:
    """Read what `write_centres` wrote; None where a recipe names none.

    Raises:
        ConfigError: It is missing or no such file, or belongs to vectors of another length.
    """
    if path is None:
        return None
    try:
        # From memory: numpy leaves a torn file open.
        data = io.BytesIO(Path(path).expanduser().read_bytes())
        with np.load(data, allow_pickle=False) as file:
            means = {name: file[name].astype(np.float32) for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"The centres {path!r} cannot be read: {error}.",
            fix="Make them with: mmrag embed report FOLDER --out DIR",
            where="centres",
        ) from error
    wrong = [name for name, mean in means.items() if mean.shape != (dim,)]
    if wrong or not means:
        raise ConfigError(
            f"The centres {path!r} are not for vectors of {dim} numbers.",
            fix="Make them with the same embedder: mmrag embed report FOLDER --out DIR",
            where="centres",
        )
    return Centres(means)
