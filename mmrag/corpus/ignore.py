"""Which files of a folder are left out: hidden ones, tools' own, and what `.mmragignore` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from mmrag.core.errors import ConfigError

IGNORE_FILE = ".mmragignore"
DEFAULT_PATTERNS = (
    ".*",
    "node_modules/",
    "__pycache__/",
    "*.pyc",
    "*.tmp",
    "*.swp",
    "*~",
    "~$*",
    r"\#*#",
    "Thumbs.db",
    "desktop.ini",
)
"""gitignore patterns that hold before any `.mmragignore`, which may take them back: `!.github/`."""


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The rules in force in one folder: its own over those of the folders above it."""

    layers: tuple[tuple[str, GitIgnoreSpec], ...]

    @classmethod
    def at_root(cls, root: Path, extra: Sequence[str] = ()) -> IgnoreRules:
        """Return the rules of a corpus root: defaults, then `extra`, then its ignore file.

        Raises:
            ConfigError: A pattern cannot be understood.
        """
        base = cls((("", _spec([*DEFAULT_PATTERNS, *extra], "ignore patterns")),))
        return base.inside(root, "")

    def inside(self, folder: Path, prefix: str) -> IgnoreRules:
        """Add a folder's own ignore file, if it has one; `prefix` is its id with a slash.

        Raises:
            ConfigError: A pattern cannot be understood.
        """
        path = folder / IGNORE_FILE
        try:
            text = path.read_text(encoding="utf-8-sig", errors="replace")
        except OSError:
            return self
        return IgnoreRules((*self.layers, (prefix, _spec(text.splitlines(), prefix + IGNORE_FILE))))

    def ignores(self, source_id: str, *, folder: bool) -> bool:
        """Tell whether a file or folder is left out; the deepest rule that speaks decides."""
        for prefix, spec in reversed(self.layers):
            verdict = spec.check_file(source_id[len(prefix) :] + "/" * folder).include
            if verdict is not None:
                return verdict
        return False


def _spec(lines: Sequence[str], where: str) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise ConfigError(str(error) + ".", fix="Correct or remove the pattern.", where=where) from error
