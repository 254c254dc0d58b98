"""Describe pictures by a multimodal LLM on this machine."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mmrag.caption.answers import read_caption
from mmrag.caption.options import HINT, MllmCaptionOptions
from mmrag.core.errors import OutOfMemory, SourceError, Unsupported
from mmrag.core.identity import digest_json
from mmrag.core.weights import find_model, fingerprint
from mmrag.media.pictures import open_picture, upright

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmrag.caption.generator import Generator

_MAX_PIXELS = 170_000_000
_MAX_RATIO = 150
"""Qwen's image processors fail above 200, and rounding to whole pixels moves it."""

_BICUBIC = 3


class MllmCaptioner:
    """Describes pictures by the likeliest words of a model; threads may share it."""

    def __init__(self, options: MllmCaptionOptions) -> None:
        self._options = options
        self._running = threading.Lock()
        self._loaded: Generator | None = None
        self._batch_items = options.batch_items

    @cached_property
    def identity(self) -> str:
        """What the words depend on.

        Raises:
            NotFound: The model is not on this machine.
        """
        options = self._options
        folder = find_model(options.model, options.revision, hint=HINT)
        asked = [options.prompt, options.objects, options.template, options.image_token, options.dtype]
        name = folder.name if Path(options.model).expanduser().is_dir() else options.model
        return (
            f"mllm {name} revision={fingerprint(folder)[:16]} prompt={digest_json(asked)[:16]} "
            f"max_new_tokens={options.max_new_tokens} max_side={options.max_side}"
        )

    def describe(self, pictures: Sequence[bytes]) -> list[str | SourceError]:
        """Return the description of each encoded picture, or why there is none.

        Raises:
            ModelError: The model cannot be loaded or run.
            OutOfMemory: Not even one picture fits.
        """
        found: list[str | SourceError] = []
        start = 0
        while start < len(pictures):
            # The size may shrink on the way.
            batch = pictures[start : start + self._batch_items]
            found += self._describe(batch)
            start += len(batch)
        return found

    def _describe(self, pictures: Sequence[bytes]) -> list[str | SourceError]:
        opened = [self._open(picture) for picture in pictures]
        good = [picture for picture in opened if not isinstance(picture, SourceError)]
        answers = iter(self._ask(good) if good else [])
        found: list[str | SourceError] = []
        for picture in opened:
            if isinstance(picture, SourceError):
                found.append(picture)
                continue
            try:
                found.append(read_caption(next(answers), objects=self._options.objects))
            except SourceError as error:
                found.append(error)
        return found

    def _open(self, picture: bytes) -> Image | SourceError:
        try:
            shown = upright(open_picture(picture, max_pixels=_MAX_PIXELS), near=self._options.max_side)
        except SourceError as error:
            return error
        if max(shown.size) > _MAX_RATIO * min(shown.size):
            return Unsupported(
                f"A picture of {shown.width} x {shown.height} is too narrow.", fix="Cut it into pieces."
            )
        factor = self._options.max_side / max(shown.size)
        if factor >= 1:
            return shown
        width, height = (max(1, int(side * factor)) for side in shown.size)
        return shown.resize((width, height), resample=_BICUBIC)

    def _ask(self, pictures: Sequence[Image]) -> list[str]:
        with self._running:
            if self._loaded is None:
                from mmrag.caption.generator import load_generator

                options = self._options
                folder = find_model(options.model, options.revision, hint=HINT)
                self._loaded = load_generator(options, folder)
            try:
                return self._loaded.answer(pictures)
            except OutOfMemory:
                if len(pictures) == 1:
                    raise
                self._batch_items = max(1, len(pictures) // 2)
        half = len(pictures) // 2
        return [*self._ask(pictures[:half]), *self._ask(pictures[half:])]
