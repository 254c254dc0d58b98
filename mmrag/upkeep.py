"""The life of an index after its first sync: prove it, publish, compact, export, forget."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from mmrag.core.errors import NotFound, QueryError, StoreError
from mmrag.core.filters import parse
from mmrag.core.protocols import Embedder
from mmrag.core.types import SourceId
from mmrag.corpus import kept_out
from mmrag.index.published import open_indexes, publish
from mmrag.index.status import IndexStatus, index_status
from mmrag.index.upkeep import leftovers, reindex, row_lists
from mmrag.lanes import publish_calibration
from mmrag.places import outside
from mmrag.recipes import PipelineRecipe
from mmrag.search import CalibratedFusion
from mmrag.space import Look, look_at_space
from mmrag.store import (
    CompactReport,
    ExportReport,
    ForgetReport,
    Store,
    VerifyReport,
    export_store,
    forget,
    verify,
)
from mmrag.store.swap import building_path


class Upkeep:
    """Looks after the store of a folder; `Pipeline.upkeep` is one.

    Args:
        folder: The corpus.
        store: Its store.
        recipe: What the search indexes are, and how their lists are joined.
        embedder: What the store's vectors came from.
        let_go: Closes whatever searches hold open, so that old files can be removed.
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        recipe: PipelineRecipe,
        embedder: Embedder,
        let_go: Callable[[], None],
    ) -> None:
        self._folder, self._store, self._embedder = folder, store, embedder
        self._indexes = recipe.index.indexes(folder)
        self._is_calibrated = isinstance(recipe.search.fusion, CalibratedFusion)
        self._let_go = let_go

    def verify(self) -> VerifyReport:
        """Prove that the store is whole: every digest is computed again, every index looked into."""
        return verify(self._store, row_lists(self._store, self._indexes))

    def indexes(self) -> list[IndexStatus]:
        """Tell what search indexes there are, how well they find, and what they take."""
        return index_status(self._store, self._indexes, self._embedder.dim)

    def publish(self) -> tuple[str, ...]:
        """Bring the search indexes on disk up to date; return the names of those that were written."""
        written = publish(self._store, self._indexes)
        if self._is_calibrated:
            # Without the model what is learned stays as it is; the next sync brings it up to date.
            with suppress(NotFound), self._store.snapshot():
                opened = open_indexes(self._store, self._indexes, self._embedder.dim)
                publish_calibration(self._store, opened, self._embedder)
        return tuple(written)

    def reindex(self) -> None:
        """Build the search indexes anew from the stored vectors and words.

        Raises:
            Locked: Another process is writing.
        """
        reindex(self._store, self._indexes)

    def look_at_space(self, folder: str | Path) -> Look:
        """Measure the space of the embeddings, and draw it into a folder.

        Raises:
            ConfigError: The folder lies in the corpus, or there is too little to look at.
        """
        return look_at_space(self._store, self._embedder, outside(self._folder, folder, "embed report"))

    def compact(self) -> CompactReport:
        """Give back the disk space of what was removed; searches go on meanwhile.

        Raises:
            Locked: Another process is writing.
        """
        self._let_go()
        return self._store.compact()

    def export(self, folder: str | Path) -> ExportReport:
        """Write the index as Parquet files into a folder that is not there yet.

        Raises:
            ConfigError: The folder lies in the corpus, where the next sync would index it.
            StoreError: There is something, or it cannot be written.
        """
        return export_store(self._store, outside(self._folder, folder, "export"))

    def forget(
        self, sources: Iterable[str] = (), *, filter: str | None = None, ignore: bool = False
    ) -> ForgetReport:
        """Remove every trace of sources, and search every stored byte for what may be left.

        A source that was removed already is looked for as well: the index may hold traces of it.

        Args:
            sources: Their names as `status` shows them, with the folder.
            filter: Also every source that has an item which meets it; sources go as a whole.
            ignore: List them in `.mmragignore`, so that files which stay are not read again.

        Raises:
            QueryError: The filter is wrong, or nothing is named.
            ConfigError: A file is still in the folder: the next sync would bring it back.
            StoreError: Another index is being built beside, and may hold them too.
            Locked: Another process is writing.
        """
        named = {SourceId(name) for name in sources}
        if filter is not None:
            rows = self._store.rows(parse(filter))
            named |= {item.source for item in self._store.items(rows).values()}
        if not named:
            raise QueryError(
                "No source is named, or meets the filter.", fix="Give names as `mmrag status` shows them."
            )
        beside = building_path(self._store.path)
        if Store.exists(beside):
            raise StoreError(
                f"An index that is being built in {beside} may hold them as well.",
                fix="Let that `mmrag reindex` end first, or delete the folder.",
            )
        wanted = sorted(named)
        with kept_out(self._folder, wanted, exclude=(self._store.path,), ignore=ignore):
            self._let_go()
            return forget(
                self._store,
                wanted,
                publish=self.publish,
                leftovers=leftovers(self._store, self._indexes.lexical),
            )
