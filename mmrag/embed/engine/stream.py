"""Stream inputs of any number through models, prepared ahead and batched by length; results come in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from mmrag.core.protocols import Embedded
from mmrag.embed.content import Content, Model
from mmrag.embed.engine.devices import choose_budget, choose_threads
from mmrag.embed.engine.flow import Flow
from mmrag.embed.engine.options import EngineOptions
from mmrag.embed.engine.runner import Runner, Work


class Engine:
    """Models that share the work of streams; threads may stream at the same time.

    Args:
        models: Copies of one model, each on a device of its own.
        options: Batches and threads.
        devices: The device of each model; all on the CPU when none is given.
    """

    def __init__(self, models: Sequence[Model], options: EngineOptions, devices: Sequence[str] = ()) -> None:
        self.models = tuple(models)
        self._options = options
        self._threads = choose_threads(options)
        self._runners = [
            Runner(model, choose_budget(device, options))
            for model, device in zip(models, devices or ["cpu"] * len(self.models), strict=True)
        ]

    @property
    def stats(self) -> tuple[Work, ...]:
        """What each model has done since it was loaded."""
        return tuple(replace(runner.work) for runner in self._runners)

    def stream(self, contents: Iterable[Content]) -> Iterator[Embedded]:
        """Embed inputs as they come; yield one result an input, in order.

        `contents` is read in the caller's thread, at most three windows ahead; the next one is prepared
        while one runs. An input that fails has an `error` in its place. Closing the iterator stops the work.

        Raises:
            ModelError: The model cannot run at all.
        """
        flow = Flow(self.models[0], self._runners, self._options, self._threads)
        try:
            yield from flow.results(contents)
        finally:
            flow.close()
