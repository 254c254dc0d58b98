"""Pipeline: sync a folder, search it, ask it, and look inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, get_args

from mmrag.answer import compose_answer, write_evidence
from mmrag.core.errors import ConfigError, StoreError, did_you_mean
from mmrag.core.protocols import Embedder
from mmrag.core.types import Answer, Hit, Query, SourceId
from mmrag.corpus import Progress, Stop, SyncReport, lag
from mmrag.current import Current, State
from mmrag.opening import (
    Chosen,
    build_beside,
    build_embedder,
    choose,
    is_indexed,
    is_of_another,
    open_store,
    patterns_for,
    remember,
    unfinished,
)
from mmrag.places import Places, outside, path_of
from mmrag.recipes import PipelineRecipe
from mmrag.search import Explanation, Images, WhyNot, as_asked, why_not, words_for_pictures
from mmrag.store import SourceRecord, Store, find_source, import_store
from mmrag.syncing import Syncer
from mmrag.upkeep import Upkeep

When = Literal["always", "new", "later", "never", "plan"]


class Pipeline:
    """Everything from a folder to a checked answer, over one recipe.

    Use `Pipeline.from_folder`. One pipeline may serve many threads; it follows the store when
    another process syncs it. `upkeep` verifies, compacts, exports and forgets.

        with Pipeline.from_folder("docs") as pipeline:
            answer = pipeline.ask("How long is the warranty?")
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        recipe: PipelineRecipe,
        embedder: Embedder,
        chosen: Chosen | None = None,
    ) -> None:
        self.folder = folder
        self.store = store
        self.recipe = recipe
        self._embedder = embedder
        self._chosen = chosen
        self._current = Current(folder, store, recipe, embedder)
        self.upkeep = Upkeep(folder, store, recipe, embedder, self._current.let_go)
        self._syncer = Syncer(folder, store, recipe.index, embedder, self.upkeep.publish)

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        recipe: str | Path | None = None,
        model: str | Path | None = None,
        store: str | Path | None = None,
        sync: When = "always",
        rebuild: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Pipeline:
        """Open a folder's index, and bring it up to date first.

        Args:
            folder: The corpus: a folder of files.
            recipe: A shipped recipe's name, or the path of a YAML file; unless given, the one that the
                index was last synced with, or "default".
            model: What stands in place of the model that the recipe's embedder names: a folder.
            store: Where the index lives; `<folder>/.mmrag` unless given.
            sync: When to bring the index up to date: "always", only if there is no index yet
                ("new"), by a call of `sync` ("later"), or "never": then there must be one.
                "plan" writes nothing at all: for `sync(dry_run=True)`.
            rebuild: Whether to empty an existing store first.
            on_progress: Called as the sync goes on.

        Raises:
            ConfigError: The folder or recipe does not exist, or an extra is missing.
            IdentityMismatch: The store was built with another embedder; `reindex` builds it anew.
        """
        places = Places.of(folder, store)
        if sync not in get_args(When):
            raise ConfigError(f"There is no sync={sync!r}.", fix=did_you_mean(str(sync), get_args(When)))
        plan, chosen = choose(places, recipe, model, heedless=rebuild)
        embedder = build_embedder(plan, places, given=bool(recipe or model), may_lack=sync == "never")
        is_new = not is_indexed(places)
        if is_new and sync == "never":
            raise ConfigError(f"{str(folder)!r} has no index yet.", fix=f"Run: {places.sync_command}")
        opened = open_store(places, embedder, chosen, rebuild=rebuild, only_look=sync == "plan")
        pipeline = cls(places.folder, opened, plan, embedder, chosen)
        try:
            if sync == "always" or (sync == "new" and is_new):
                pipeline.sync(on_progress=on_progress)
        except BaseException:
            pipeline.close()
            raise
        return pipeline

    @classmethod
    def from_export(
        cls,
        folder: str | Path,
        exported: str | Path,
        *,
        recipe: str | Path | None = None,
        model: str | Path | None = None,
        store: str | Path | None = None,
    ) -> Pipeline:
        """Make the index of a folder out of what `Upkeep.export` wrote, and open it; nothing is embedded.

        Raises:
            IdentityMismatch: The export was made with another embedder than the recipe's.
            ConfigError: The folder has an index already.
            StoreError: `exported` is no export.
        """
        places = Places.of(folder, store)
        if is_indexed(places):
            raise ConfigError(
                f"{str(folder)!r} has an index already, in {places.store}.",
                fix="Choose another place with --store, or delete that folder first.",
            )
        plan, chosen = choose(places, recipe, model)
        embedder: Embedder = plan.index.embedder.build()
        opened = import_store(path_of(exported, "folder"), places.store, identity=embedder.identity)
        pipeline = cls(places.folder, opened, plan, embedder, chosen)
        try:
            remember(opened, chosen)
            pipeline.upkeep.publish()
        except BaseException:
            pipeline.close()
            raise
        return pipeline

    @classmethod
    def reindex(
        cls,
        folder: str | Path,
        *,
        recipe: str | Path | None = None,
        model: str | Path | None = None,
        store: str | Path | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Pipeline:
        """Build a folder's index anew with another recipe or model, and open it.

        It is built beside the one that is there, in which searches go on until then. Text read in pictures
        is carried over. A call that was stopped is gone on with by another one, or given up by one for the
        recipe in use. Where the vectors stay the same, only what the recipes differ in is made anew.
        Arguments as in `from_folder`.

        Raises:
            Locked: Another process writes or searches the index; what was built is kept.
        """
        places = Places.of(folder, store)
        plan, chosen = choose(places, recipe, model)
        embedder: Embedder = plan.index.embedder.build()

        def fill(beside: Store) -> None:
            pipeline = cls(places.folder, beside, plan, embedder)
            ignore = patterns_for(places.folder, places.store)
            pipeline._syncer.sync(ignore=ignore, on_progress=on_progress)

        is_anew = is_of_another(places, embedder)
        if is_anew:
            build_beside(places, chosen, embedder, fill)
        pipeline = cls(places.folder, open_store(places, embedder, chosen), plan, embedder, chosen)
        try:
            pipeline.sync(on_progress=on_progress)
            if not is_anew:
                pipeline.upkeep.reindex()
        except BaseException:
            pipeline.close()
            raise
        return pipeline

    def sync(
        self,
        *,
        dry_run: bool = False,
        workers: int | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> SyncReport:
        """Make the index equal to the folder; a second run does nothing.

        Args:
            dry_run: Only plan.
            workers: How many processes read files, one a core unless given; 0 reads in this process,
                where nothing bounds the time and memory that a hostile file takes.
            on_progress: Called as the sync goes on.

        Raises:
            Locked: Another process is syncing; the message names it.
        """
        if not dry_run:
            self._remember()
        return self._syncer.sync(dry_run=dry_run, workers=workers, on_progress=on_progress)

    def watch(
        self,
        *,
        every_s: float = 600.0,
        stop: Stop | None = None,
        workers: int | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_wait: Callable[[StoreError], None] | None = None,
    ) -> Iterator[SyncReport]:
        """Sync now and after every change of the folder; yield the report of each sync.

        While another process writes the same store, or its disk is full, the change waits for its turn.

        Args:
            every_s: Look after so many seconds without news too.
            stop: Ends the watch when it is set: a `threading.Event`.
            workers: As in `sync`.
            on_progress: Called as each sync goes on.
            on_wait: Called with the reason each time that a sync has to wait.

        Raises:
            ConfigError: The folder is gone, or cannot be watched.
        """
        self._remember()
        yield from self._syncer.watch(
            every_s=every_s, stop=stop, workers=workers, on_progress=on_progress, on_wait=on_wait
        )

    def search(
        self, query: str | Query, *, k: int = 10, filter: str | None = None, image: Images | None = None
    ) -> list[Hit]:
        """Find the k best items.

        Args:
            query: Words, or a `Query`, which may name a task of the recipe or give an instruction.
            k: How many hits at most.
            filter: Which items may be found, such as `kind == "pdf" and page <= 3`.
            image: A picture to search with, or several, alone or beside the words.

        Raises:
            QueryError: The query is empty, or its filter cannot be parsed.
        """
        return list(self.explain(query, k=k, filter=filter, image=image).hits)

    def explain(
        self, query: str | Query, *, k: int = 10, filter: str | None = None, image: Images | None = None
    ) -> Explanation:
        """Search, and keep what each lane found, what it cost and which lane was left out."""
        with self.store.snapshot():
            current = self._current.state()
            wanted, notes = self._query(query, image, current)
            found = current.retriever.explain(wanted, k, allow=current.allowed(filter))
            own = self.warnings({hit.item.source for hit in found.hits})
        return replace(found, notes=(*notes, *found.notes, *own))

    def ask(self, question: str | Query, *, filter: str | None = None, image: Images | None = None) -> Answer:
        """Answer a question from the folder, with citations that were checked, or say why not.

        Raises:
            QueryError: The question is empty, or the filter cannot be parsed.
        """
        with self.store.snapshot():
            current = self._current.state()
            query, notes = self._query(question, image, current)
            found = current.retriever.explain(query, self.recipe.evidence, allow=current.allowed(filter))
            answer = compose_answer(
                query,
                found.hits,
                current.answerer,
                notes=(*notes, *found.notes),
                steps=found.steps,
                root=current.root,
            )
            own = self.warnings({citation.item.source for citation in answer.citations})
        return replace(answer, notes=(*answer.notes, *own))

    def why_not(
        self,
        query: str | Query,
        source: str,
        *,
        k: int = 10,
        filter: str | None = None,
        image: Images | None = None,
    ) -> WhyNot:
        """Say where an expected source was lost on its way into the top k.

        Raises:
            QueryError: The source was never seen; the fix suggests a near name.
        """
        with self.store.snapshot():
            current = self._current.state()
            wanted, _ = self._query(query, image, current)
            record = find_source(self.store, source, self.folder)
            return why_not(
                current.retriever,
                wanted,
                self.store.rows_of(record.source.id),
                record,
                k,
                allow=current.allowed(filter),
            )

    def write_evidence(self, answer: Answer, folder: str | Path, *, question: str = "") -> list[Path]:
        """Write an answer's evidence for people: `index.html`, and pages with the quotes marked.

        Raises:
            ConfigError: The folder lies in the corpus, where the next sync would index it.
            StoreError: The folder cannot be written.
        """
        return write_evidence(
            answer,
            outside(self.folder, folder, "evidence"),
            open_media=lambda source: self.folder / source,
            blob=self.store.blob,
            question=question,
            digest_of=self._digest_of,
        )

    def without_refusal(self) -> Pipeline:
        """Return a pipeline over the same store that answers whatever it is asked: for calibration.

        Closing either of the two closes the store of both.

        Raises:
            ConfigError: The recipe's answerer knows no refusal.
        """
        loosened = getattr(self.recipe.answer, "without_refusal", None)
        if loosened is None:
            raise ConfigError(
                f"The answerer of recipe {self.recipe.name!r} has no threshold to calibrate.",
                fix="Choose a recipe with `answer: extractive`.",
            )
        recipe = replace(self.recipe, answer=loosened())
        return Pipeline(self.folder, self.store, recipe, self._embedder, self._chosen)

    def sources(self) -> list[SourceRecord]:
        """Return every file of the folder with its state and reason, sorted by path."""
        return self.store.sources()

    def warnings(self, sources: Iterable[SourceId] | None = None) -> list[str]:
        """Say what of the index is not as the folder is now; nothing when a sync has nothing to do.

        Args:
            sources: Only these files are looked at; unless given, all, and new ones too, which takes a
                walk through the folder.
        """
        told = [f"{told} Run: {self.sync_command}" for told in lag(self.folder, self.store, sources)]
        return told if sources is not None else [*told, *unfinished(Places(self.folder, self.store.path))]

    @property
    def sync_command(self) -> str:
        """The command that brings this pipeline's index up to date."""
        return Places(self.folder, self.store.path).sync_command

    def close(self) -> None:
        """Release the store."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _query(
        self, query: str | Query, image: Images | None, current: State
    ) -> tuple[Query, tuple[str, ...]]:
        wanted, told = as_asked(query, image, self._embedder)
        wanted, notes = words_for_pictures(
            wanted, self._embedder.modalities, self._syncer.ocr, compared=current.compares_pictures
        )
        return wanted, (*told, *notes)

    def _digest_of(self, source: SourceId) -> str | None:
        record = self.store.source(source)
        return record.source.digest if record is not None else None

    def _remember(self) -> None:
        if self._chosen is not None:
            remember(self.store, self._chosen)
