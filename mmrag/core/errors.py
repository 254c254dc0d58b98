"""The error tree: every error says what happened and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import partial

_SUGGESTED = 3
_LISTED = 30
"""More names than that help nobody: a folder has thousands."""


class MmragError(Exception):
    """Any error that mmrag raises on purpose.

    Args:
        message: One sentence of what happened, with the values.
        fix: One sentence of what to do; a command where there is one.
        where: The file, key or place that it is about.
    """

    def __init__(self, message: str, *, fix: str, where: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.where = where

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.message} {self.fix}"

    def __reduce__(self) -> tuple[partial[MmragError], tuple[str]]:
        # Keyword-only arguments are unknown to BaseException: without this, no worker process could
        # hand an error back.
        return partial(type(self), fix=self.fix, where=self.where), (self.message,)


class ConfigError(MmragError, ValueError):
    """The configuration is wrong."""


class RecipeError(ConfigError):
    """A recipe has an unknown key, a missing one, or a value of the wrong type."""


class UnknownName(ConfigError):
    """A component, recipe or field of that name does not exist."""


class MissingExtra(ConfigError, ImportError):
    """A feature needs packages that are not installed."""


class SourceError(MmragError, ValueError):
    """One file cannot be read; sync records it and goes on."""


class Unsupported(SourceError):
    """No reader takes this kind of file."""


class Encrypted(SourceError):
    """The file needs a password."""


class Corrupt(SourceError):
    """The file is not what its name or header says, or is broken."""


class Empty(SourceError):
    """The file holds nothing to index."""


class TooLarge(SourceError):
    """The file exceeds a limit."""


class StoreError(MmragError):
    """The store cannot be used."""


class Locked(StoreError):
    """Another writer holds the store."""


class IdentityMismatch(StoreError):
    """The store was built with another embedder."""


class Damaged(StoreError):
    """A file of the store is torn, missing or foreign."""


class NeedsMigration(StoreError):
    """The store has another format version."""


class OutOfSpace(StoreError):
    """The disk is full."""


class ModelError(MmragError):
    """A model cannot be loaded or run."""


class NotFound(ModelError):
    """The model's files are not where they should be."""


class Offline(ModelError):
    """A server or hub cannot be reached."""


class AdapterMismatch(ModelError):
    """An adapter does not fit its base model."""


class OutOfMemory(ModelError):
    """The device has too little memory, also for a batch of one."""


class InputTooLong(ModelError):
    """An input exceeds the model's limit."""


class QueryError(MmragError, ValueError):
    """The query cannot be run."""


class BadFilter(QueryError):
    """The filter cannot be parsed, or compares values of different types."""


class UnknownField(QueryError):
    """The filter names a field that does not exist."""


class UnsupportedModality(QueryError):
    """The embedder does not take this modality."""


class AnswerError(MmragError):
    """An answer could not be made."""


class GeneratorFailed(AnswerError):
    """The generator gave no usable output."""


class ContextTooSmall(AnswerError):
    """Not even one piece of evidence fits the generator's context."""


class ServeError(MmragError):
    """A server refuses a request."""


class Unauthorized(ServeError):
    """The request carries no valid credentials."""


class Forbidden(ServeError):
    """The credentials do not allow this."""


class TooManyRequests(ServeError):
    """The server is over its limit."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return 'Did you mean ...?' for a near name, else a list of the known ones."""
    names = sorted(known)
    longer = [other for other in names if len(name) > 2 and name.casefold() in other.casefold()]
    if longer and name not in names:
        return f"Did you mean {' or '.join(map(repr, longer[:_SUGGESTED]))}?"
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]!r}?"
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"Known: {', '.join(names[:_LISTED]) or 'none'}{more}."
