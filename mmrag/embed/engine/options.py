"""How a model is run; no vector depends on it."""

from __future__ import annotations

from dataclasses import dataclass

from mmrag.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Batches, threads and devices.

    Args:
        devices: Where the model runs, one copy each, such as `cuda:0`; empty for the first GPU, else the CPU.
        batch_tokens: The most positions of a batch, padding counted; None for what the device suggests.
        batch_visual_tokens: The most positions that pictures take in a batch; None likewise.
        batch_items: The most inputs of a batch.
        window: So many inputs are prepared ahead and sorted by length.
        threads: How many threads open pictures and make tokens; 0 for one a core.
    """

    devices: tuple[str, ...] = ()
    batch_tokens: int | None = None
    batch_visual_tokens: int | None = None
    batch_items: int = 64
    window: int = 256
    threads: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_tokens", "batch_visual_tokens", "batch_items", "window"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}.", fix="Give 1 or more.", where=name)
        if self.threads < 0:
            raise ConfigError(f"threads is {self.threads}.", fix="Give 0 for one a core.", where="threads")
