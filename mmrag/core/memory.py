"""Tell that a device ran out of memory, whichever way it says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmrag.core.errors import OutOfMemory
from mmrag.core.lazy import require


@contextmanager
def memory_errors(count: int, kind: str, *, fix: str) -> Iterator[None]:
    """Turn a device's 'out of memory' into `OutOfMemory`; all other errors pass.

    Args:
        count: How many inputs are run at once.
        kind: What they are called, in the singular.
        fix: What makes it take less.

    Raises:
        OutOfMemory: The device, or the machine, has too little.
    """
    torch = require("torch", extra="local", feature="A local model")
    what = f"one {kind}" if count == 1 else f"{count} {kind}s at once"
    said = f"The device has too little memory for {what}."
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(said, fix=fix) from error
    except RuntimeError as error:
        # The CPU's allocator has no error of its own.
        if "not enough memory" in str(error) or "can't allocate memory" in str(error):
            raise OutOfMemory(said, fix=fix) from error
        raise
