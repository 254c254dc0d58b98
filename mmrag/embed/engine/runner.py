"""Run batches on one device: one at a time, smaller ones when memory runs out, and a bad input alone."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import MmragError, ModelError, OutOfMemory
from mmrag.embed.content import Model, Prepared
from mmrag.embed.engine.buckets import Budget, cut, positions

_E = TypeVar("_E", bound=BaseException)

Outcome = NDArray[np.float32] | MmragError
"""What became of one input: its vector [dim], or why there is none."""

_MAX_FAILURES = 100
"""So many failures in a row are no bad inputs: the device or the model is broken."""


@dataclass(slots=True)
class Work:
    """What a device has done.

    Units:
        busy_s: seconds of wall time in which the model ran.
        tokens: positions of inputs; `positions` counts padding too.
    """

    inputs: int = 0
    batches: int = 0
    tokens: int = 0
    positions: int = 0
    busy_s: float = 0.0
    out_of_memory: int = 0


class Runner:
    """A model on its device; threads that share it wait for each other.

    Args:
        model: Loaded on the device.
        budget: How large a batch may be; it shrinks for good when memory runs out.
    """

    def __init__(self, model: Model, budget: Budget) -> None:
        self.budget = budget
        self.work = Work()
        self._model = model
        self._lock = threading.Lock()
        self._failures = 0

    def run(self, batch: Sequence[Prepared]) -> list[Outcome]:
        """Embed a batch, in smaller ones where it does not fit; return an outcome for each input.

        Raises:
            ModelError: So many inputs failed in a row that the model cannot be working.
        """
        outcomes: dict[int, Outcome] = {}
        todo = [list(range(len(batch)))]
        while todo:
            chosen = todo.pop()
            part = [batch[i] for i in chosen]
            if not self.budget.fits(part):
                todo += [[chosen[i] for i in piece] for piece in reversed(cut(part, self.budget))]
                continue
            result = self._attempt(part)
            if isinstance(result, list):
                outcomes.update(zip(chosen, result, strict=True))
            elif len(part) == 1:
                outcomes[chosen[0]] = self._counted(result)
            elif isinstance(result, OutOfMemory):
                self.budget = self.budget.below(part)
                todo.append(chosen)
            else:
                # One of them is bad: halves find it in few runs, and the others keep their company.
                half = len(chosen) // 2
                todo += [chosen[half:], chosen[:half]]
        return [outcomes[i] for i in range(len(batch))]

    def _attempt(self, part: list[Prepared]) -> list[Outcome] | MmragError:
        with self._lock:
            started = time.perf_counter()
            try:
                vectors = self._model.run(part)
            except OutOfMemory as error:
                self.work.out_of_memory += 1
                return without_frames(error)
            except MmragError as error:
                return without_frames(error)
            except Exception as error:  # noqa: BLE001 - a bug that one input shows must not end the run
                return unexpected("run", error)
            finally:
                self.work.busy_s += time.perf_counter() - started
            self.work.inputs += len(part)
            self.work.batches += 1
            self.work.tokens += sum(one.tokens for one in part)
            self.work.positions += positions(part)
            self._failures = 0
        if vectors.shape != (len(part), self._model.dim):
            wrong = f"The model gave {vectors.shape} numbers for {len(part)} inputs of {self._model.dim}."
            return ModelError(wrong, fix="Report it with the recipe.")
        finite = np.isfinite(vectors)
        return [vectors[i] if finite[i].all() else _no_number() for i in range(len(part))]

    def _counted(self, error: MmragError) -> MmragError:
        # Inputs that are each too large say nothing of the next one.
        self._failures += not isinstance(error, OutOfMemory)
        if self._failures >= _MAX_FAILURES:
            raise ModelError(
                f"The model failed for {self._failures} inputs in a row, the last time with: {error}",
                fix="Run it with one input; a GPU that has failed needs a new process.",
            ) from error
        return error


def unexpected(step: str, error: Exception) -> ModelError:
    """Return a bug as the error of the one input that shows it; the message names its place."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    wrapped = ModelError(
        f"An input could not be embedded: {step} failed in {last.filename}:{last.lineno} with "
        f"{type(error).__name__}: {error}.",
        fix="Look at the input; if it is a good one, report this.",
    )
    wrapped.__cause__ = without_frames(error)
    return wrapped


def without_frames(error: _E) -> _E:
    """Drop what an error's frames hold, tensors above all: errors of a long run are kept."""
    seen: set[int] = set()
    one: BaseException | None = error
    # `raise error from error`, which libraries do, makes a ring.
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        one.__traceback__ = None
        one = one.__cause__ or one.__context__
    return error


def _no_number() -> ModelError:
    return ModelError(
        "The model gave a vector that is no number.", fix="Use dtype: bfloat16 or float32 in the recipe."
    )
