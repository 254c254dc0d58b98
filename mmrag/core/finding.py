"""What a look at an installation, a recipe or a model found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

Verdict = Literal["ok", "missing", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `fix` is empty when it is well."""

    name: str
    verdict: Verdict
    detail: str
    fix: str = ""


@runtime_checkable
class Checkable(Protocol):
    """Options of a component that can say what it needs, and whether that is here."""

    def check(self) -> Iterator[Finding]:
        """Look at everything that is needed without loading it; nothing is raised, all is told."""
        ...
