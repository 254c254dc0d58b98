"""Brings a store up to date with its folder, once or after every change."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from mmrag.core.errors import Locked, MissingExtra, OutOfSpace, StoreError
from mmrag.core.protocols import Captioner, Embedder, Ocr
from mmrag.corpus import Progress, Stop, SyncReport, changes, load_readers, sync
from mmrag.recipes import IndexRecipe
from mmrag.store import Store

PUBLISH_SECONDS = 15.0
"""How often a running sync publishes its derived indexes: each time costs about as long as a commit."""
RETRY_SECONDS = 3.0
"""How long a watch waits before it asks a locked store again."""


class Syncer:
    """Syncs the store of a folder as an index recipe says.

    Args:
        folder: The corpus.
        store: Its store.
        recipe: What reads, splits and embeds the files.
        embedder: What makes the vectors.
        publish: Brings the search indexes on disk up to date, and names those that were written.
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        recipe: IndexRecipe,
        embedder: Embedder,
        publish: Callable[[], tuple[str, ...]],
    ) -> None:
        self._folder, self._store, self._recipe = folder, store, recipe
        self._embedder, self._publish = embedder, publish
        self._ocr: Ocr | None = None
        self._loaded_captioner: Captioner | None = None

    def sync(
        self,
        *,
        ignore: Sequence[str] = (),
        dry_run: bool = False,
        workers: int | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> SyncReport:
        """Make the store equal to the folder, and publish; arguments as in `mmrag.corpus.sync`."""
        published = time.monotonic()

        def on_commit(_: int) -> None:
            # What is not published is indexed in memory by whoever searches meanwhile.
            nonlocal published
            if time.monotonic() - published >= PUBLISH_SECONDS:
                self._publish()
                published = time.monotonic()

        report = sync(
            self._folder,
            self._store,
            self._embedder,
            readers=load_readers(),
            splitter=self._recipe.splitter.build(self._embedder.count_tokens),
            ocr=self._ocr_if_installed(),
            captioner=self._captioner(),
            ignore=ignore,
            workers=workers,
            dry_run=dry_run,
            on_progress=on_progress,
            on_commit=on_commit,
        )
        return report if dry_run else replace(report, indexes=self._publish())

    def watch(
        self,
        *,
        every_s: float,
        stop: Stop | None = None,
        workers: int | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_wait: Callable[[StoreError], None] | None = None,
    ) -> Iterator[SyncReport]:
        """Sync now and after every change; arguments as in `Pipeline.watch`."""
        retry = math.inf
        told = changes(
            self._folder,
            exclude=(self._store.path,),
            every_s=every_s,
            stop=stop,
            again=lambda: time.monotonic() >= retry,
        )
        for _ in told:
            try:
                report = self.sync(workers=workers, on_progress=on_progress)
            except (Locked, OutOfSpace) as error:
                retry = time.monotonic() + RETRY_SECONDS
                if on_wait is not None:
                    on_wait(error)
                continue
            retry = math.inf
            yield report

    def _captioner(self) -> Captioner | None:
        # Kept for the next sync of a watch: its model takes minutes to load.
        if self._loaded_captioner is None and self._recipe.captioner is not None:
            self._loaded_captioner = self._recipe.captioner.build()
        return self._loaded_captioner

    def ocr(self) -> Ocr | None:
        """Return the recipe's OCR engine, None if it names none.

        Raises:
            MissingExtra: It is not installed.
        """
        if self._ocr is None and self._recipe.ocr is not None:
            self._ocr = self._recipe.ocr.build()
        return self._ocr

    def _ocr_if_installed(self) -> Ocr | None:
        # Without the engine everything else is still read; each scan and picture then says what it lacks.
        with suppress(MissingExtra):
            return self.ocr()
        return None
