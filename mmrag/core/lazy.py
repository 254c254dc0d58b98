"""Import heavy libraries only where they are used, and name the extra that brings them."""

from __future__ import annotations

import importlib
from types import ModuleType

from mmrag.core.errors import MissingExtra


def require(module: str, *, extra: str, feature: str) -> ModuleType:
    """Import `module`, or say which extra installs it.

    Raises:
        MissingExtra: The module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0]:
            raise
        raise MissingExtra(
            f"{feature} needs the package {module.split('.')[0]!r}, which is not installed.",
            fix=f"Run: pip install 'mmrag[{extra}]'",
        ) from error
