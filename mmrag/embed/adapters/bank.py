"""The adapters of one loaded model: merged, chosen by input, and run without races."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from mmrag.core.errors import ConfigError, UnknownName, did_you_mean
from mmrag.core.types import Modality
from mmrag.embed.adapters.files import Adapter, open_adapter
from mmrag.embed.adapters.graft import Graft
from mmrag.embed.adapters.options import AdapterOptions
from mmrag.embed.adapters.rules import choose_adapter
from mmrag.embed.adapters.store import find_adapter
from mmrag.embed.content import Content

_BARE = "__base__"
"""What peft calls a row without an adapter."""


class AdapterBank:
    """The adapters of one model.

    Outside `using` the model is bare: as loaded, with what was merged. `using` holds the bank's lock, so that
    two threads never see each other's adapters.
    """

    def __init__(self, model: Any, options: AdapterOptions, base: str | None = None) -> None:
        self._graft = Graft(model, options.leave_out)
        self._options = options
        self._base = base
        self._lock = threading.RLock()
        self._inner: dict[str, str] = {}
        self._mixes = True

    @classmethod
    def attach(cls, model: Any, options: AdapterOptions, base: str | None = None) -> AdapterBank:
        """Merge and load what the options say into a model in eval mode.

        Args:
            model: The model that runs, such as what `AutoModel` loads: without a language-model head.
            options: What the recipe says.
            base: The fingerprint of the model's checkpoint; an adapter of a store that was checked with
                another one is refused. None to trust the caller.

        Raises:
            NotFound: An adapter is not on this machine.
            AdapterMismatch: One does not fit the model; the message names what is missing or left over.
        """
        bank = cls(model, options, base)
        for source in options.merge:
            bank._graft.merge(bank._open(source))
        for name, source in options.load.items():
            bank.load(name, source)
        return bank

    @property
    def names(self) -> tuple[str, ...]:
        """The adapters that inputs can take."""
        return tuple(self._inner)

    @property
    def extra_tensors(self) -> Mapping[str, Any]:
        """Tensors of merged adapters without a place in the model, such as a head's, by name in the file.

        The name starts after "base_model.model.". Where two adapters have the same, the later one counts.
        """
        return self._graft.extra_tensors

    @property
    def mixes(self) -> bool:
        """Whether rows with different adapters can go through the model in one batch.

        They cannot when an adapter touches layers whose first axis is not the batch, such as a vision tower
        that packs patches, or is of a kind that knows no such batch (DoRA, IA3).
        """
        return self._mixes

    def choose(
        self,
        content: Content,
        *,
        task: str | None = None,
        modalities: Collection[Modality] | None = None,
    ) -> str | None:
        """Return the adapter of an input; None for the bare model.

        Args:
            content: The input.
            task: Its task where it names none: the recipe's own.
            modalities: What it became when it was rendered, such as a picture with an instruction as its
                words; None for what it came with.
        """
        kinds = content.modalities if modalities is None else modalities
        return choose_adapter(self._options, content.role, content.task or task, kinds)

    def groups(self, names: Sequence[str | None]) -> list[list[int]]:
        """Return the rows that may share a forward pass: all, or one list an adapter if they cannot mix."""
        if self.mixes:
            return [list(range(len(names)))] if names else []
        rows: dict[str | None, list[int]] = {}
        for row, name in enumerate(names):
            rows.setdefault(name, []).append(row)
        return list(rows.values())

    @contextmanager
    def using(self, names: Sequence[str | None]) -> Iterator[None]:
        """Run the model inside with one adapter a row; None for a row of the bare model.

        Raises:
            UnknownName: No such adapter is loaded.
            ConfigError: The rows differ, and `mixes` is False; run `groups` one by one.
        """
        with self._lock, ExitStack() as stack:
            inner = [None if name is None else self._known(name) for name in names]
            if len(set(inner)) > 1:
                if not self.mixes:
                    raise ConfigError(
                        "These adapters cannot run in one batch.",
                        fix="Run the rows of each group by themselves.",
                    )
                self._graft.enable(self._inner.values())
                stack.callback(self._graft.disable)
                stack.enter_context(self._graft.rows([name or _BARE for name in inner]))
            elif inner and inner[0] is not None:
                self._graft.enable([inner[0]])
                stack.callback(self._graft.disable)
            yield

    def load(self, name: str, source: str) -> None:
        """Load an adapter beside the others; it waits for a running batch.

        Raises:
            ConfigError: The name is taken.
            NotFound: The adapter is not on this machine.
            AdapterMismatch: It does not fit; the model is as before.
        """
        adapter = self._open(source)
        with self._lock:
            if name in self._inner:
                raise ConfigError(
                    f"An adapter {name!r} is loaded.", fix="Unload it first, or take another name."
                )
            self._inner[name] = self._graft.add(adapter)
            self._mixes = self._graft.mixes()

    def unload(self, name: str) -> None:
        """Take an adapter off the model.

        Raises:
            UnknownName: No such adapter is loaded.
        """
        with self._lock:
            self._graft.remove(self._known(name))
            del self._inner[name]
            self._mixes = self._graft.mixes()

    def _known(self, name: str) -> str:
        if name not in self._inner:
            raise UnknownName(f"No adapter {name!r} is loaded.", fix=did_you_mean(name, self._inner))
        return self._inner[name]

    def _open(self, source: str) -> Adapter:
        adapter = open_adapter(find_adapter(source, self._options.store))
        adapter.check_base(self._base)
        return adapter
