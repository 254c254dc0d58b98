"""What a recipe says of adapters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mmrag.core.errors import ConfigError, did_you_mean


@dataclass(frozen=True, slots=True)
class AdapterRule:
    """Which inputs take an adapter: all that match what is given; the first rule that matches counts.

    Args:
        adapter: A name under `load`, or null for the bare model.
        role: Queries or documents only.
        task: One task only.
        modalities: Exactly these modalities, such as [image, text]; empty for any.
    """

    adapter: str | None
    role: Literal["query", "document"] | None = None
    task: str | None = None
    modalities: tuple[Literal["text", "image"], ...] = ()


@dataclass(frozen=True, slots=True)
class AdapterOptions:
    """Adapters on a model.

    Args:
        store: The folder of an adapter store, where names in `load` and `merge` are looked up first; None for
            `adapters`, where `mmrag adapter add` puts them, relative to where mmrag runs.
        merge: Merged into the weights in this order before anything else: folders, hub ids or names in the
            store.
        load: Kept beside the weights and chosen by input: name to folder, hub id or name in the store.
        rules: Which input takes which; an input that no rule matches takes `default`.
        default: The adapter of all other inputs; None for the bare model.
        leave_out: Regular expressions, searched in the name of each tensor of an adapter: what matches is not
            loaded, such as "multi_vector_projector" of jina-v4. Any other tensor without a place in the model
            is an error.

    Raises:
        ConfigError: A rule or `default` names an adapter that `load` lacks.
    """

    store: str | None = None
    merge: tuple[str, ...] = ()
    load: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[AdapterRule, ...] = ()
    default: str | None = None
    leave_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.default, *(rule.adapter for rule in self.rules)):
            if name is not None and name not in self.load:
                raise ConfigError(
                    f"No adapter {name!r} is loaded.", fix=did_you_mean(name, self.load), where="adapters"
                )

    @property
    def empty(self) -> bool:
        """Whether there is no adapter at all."""
        return not self.merge and not self.load
