"""Which adapter an input takes."""

from __future__ import annotations

from collections.abc import Collection

from mmrag.core.types import Modality
from mmrag.embed.adapters.options import AdapterOptions, AdapterRule
from mmrag.embed.content import Role


def choose_adapter(
    options: AdapterOptions, role: Role, task: str | None, modalities: Collection[Modality]
) -> str | None:
    """Return the adapter of the first rule that matches, else the default; None is the bare model."""
    given = frozenset(modalities)
    for rule in options.rules:
        if _matches(rule, role, task, given):
            return rule.adapter
    return options.default


def _matches(rule: AdapterRule, role: Role, task: str | None, modalities: frozenset[Modality]) -> bool:
    return (
        rule.role in (None, role)
        and rule.task in (None, task)
        and (not rule.modalities or frozenset(rule.modalities) == modalities)
    )
