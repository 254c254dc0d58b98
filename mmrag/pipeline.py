"""Pipeline: sync a folder, search it, ask it, and look inside."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, get_args

from mmrag.answer import compose_answer, write_evidence
from mmrag.core.errors import ConfigError, MissingExtra, QueryError, StoreError, did_you_mean
from mmrag.core.filters import parse
from mmrag.core.protocols import Answerer, Embedder, Ocr, Rows
from mmrag.core.types import Answer, Hit, Query, SourceId
from mmrag.corpus import READERS, Progress, SyncReport, is_complete, staleness, sync
from mmrag.index.published import open_dense, open_lexical, publish
from mmrag.places import Places, path_of
from mmrag.recipes import PipelineRecipe, load_pipeline
from mmrag.search import (
    DenseLane,
    Explanation,
    HybridRetriever,
    LexicalLane,
    WhyNot,
    main_languages,
    why_not,
    words_for_pictures,
)
from mmrag.store import SourceRecord, Store, VerifyReport, verify

MAX_QUESTION_CHARACTERS = 20_000
"""Some 10 pages; a longer one takes many seconds and is a file given by mistake."""
PUBLISH_SECONDS = 15.0
"""How often a running sync publishes its derived indexes: each time costs about as long as a commit."""
When = Literal["always", "new", "later", "never"]


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """What searches run on: one published state of the store."""

    generation: int
    root: str
    retriever: HybridRetriever
    answerer: Answerer


class Pipeline:
    """Everything from a folder to a checked answer, over one recipe.

    Use `Pipeline.from_folder`. One pipeline may serve many threads; it follows the store when
    another process syncs it.

        with Pipeline.from_folder("docs") as pipeline:
            answer = pipeline.ask("How long is the warranty?")
    """

    def __init__(self, folder: Path, store: Store, recipe: PipelineRecipe, embedder: Embedder) -> None:
        self.folder = folder
        self.store = store
        self.recipe = recipe
        self._embedder = embedder
        self._ocr: Ocr | None = None
        self._snapshot: _Snapshot | None = None
        self._lock = threading.Lock()

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        recipe: str | Path = "default",
        store: str | Path | None = None,
        sync: When = "always",
        rebuild: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Pipeline:
        """Open a folder's index, and bring it up to date first.

        Args:
            folder: The corpus: a folder of files.
            recipe: A shipped recipe's name, or the path of a YAML file.
            store: Where the index lives; `<folder>/.mmrag` unless given.
            sync: When to bring the index up to date: "always", only if there is no index yet
                ("new"), by a call of `sync` ("later"), or "never": then there must be one.
            rebuild: Whether to empty an existing store first.
            on_progress: Called as the sync goes on.

        Raises:
            ConfigError: The folder or recipe does not exist, or an extra is missing.
            IdentityMismatch: The store was built with another embedder.
        """
        places = Places.of(folder, store)
        if sync not in get_args(When):
            raise ConfigError(f"There is no sync={sync!r}.", fix=did_you_mean(str(sync), get_args(When)))
        plan = load_pipeline(recipe)
        embedder: Embedder = plan.index.embedder.build()
        is_new = not Store.exists(places.store)
        if is_new and sync == "never":
            raise ConfigError(f"{str(folder)!r} has no index yet.", fix=f"Run: {places.sync_command}")
        opened = _open_store(places, embedder, rebuild=rebuild)
        pipeline = cls(places.folder, opened, plan, embedder)
        try:
            if sync == "always" or (sync == "new" and is_new):
                pipeline.sync(on_progress=on_progress)
        except BaseException:
            pipeline.close()
            raise
        return pipeline

    def sync(
        self, *, dry_run: bool = False, on_progress: Callable[[Progress], None] | None = None
    ) -> SyncReport:
        """Make the index equal to the folder; a second run does nothing.

        Raises:
            Locked: Another process is syncing; the message names it.
        """
        index = self.recipe.index
        published = time.monotonic()

        def publish_now() -> None:
            publish(self.store, index.dense, index.lexical, self._embedder.dim)

        def on_commit(_: int) -> None:
            # What is not published is indexed in memory by whoever searches meanwhile.
            nonlocal published
            if time.monotonic() - published >= PUBLISH_SECONDS:
                publish_now()
                published = time.monotonic()

        report = sync(
            self.folder,
            self.store,
            self._embedder,
            readers=READERS,
            splitter=index.splitter.build(self._embedder.count_tokens),
            ocr=self._ocr_if_installed(),
            dry_run=dry_run,
            on_progress=on_progress,
            on_commit=on_commit,
        )
        if not dry_run:
            publish_now()
        return report

    def search(
        self, query: str | Query, *, k: int = 10, filter: str | None = None, image: str | Path | None = None
    ) -> list[Hit]:
        """Find the k best items.

        Args:
            query: Words, or a `Query`.
            k: How many hits at most.
            filter: Which items may be found, such as `kind == "pdf" and page <= 3`.
            image: A picture to search with, alone or beside the words.

        Raises:
            QueryError: The query is empty, or its filter cannot be parsed.
        """
        return list(self.explain(query, k=k, filter=filter, image=image).hits)

    def explain(
        self, query: str | Query, *, k: int = 10, filter: str | None = None, image: str | Path | None = None
    ) -> Explanation:
        """Search, and keep what each lane found, what it cost and which lane was left out."""
        wanted, notes = self._query(query, image)
        with self.store.snapshot():
            found = self._current().retriever.explain(wanted, k, allow=self._allowed(filter))
            own = self.warnings({hit.item.source for hit in found.hits})
        return replace(found, notes=(*notes, *found.notes, *own))

    def ask(
        self, question: str | Query, *, filter: str | None = None, image: str | Path | None = None
    ) -> Answer:
        """Answer a question from the folder, with citations that were checked, or say why not.

        Raises:
            QueryError: The question is empty, or the filter cannot be parsed.
        """
        query, notes = self._query(question, image)
        with self.store.snapshot():
            current = self._current()
            found = current.retriever.explain(query, self.recipe.evidence, allow=self._allowed(filter))
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
        image: str | Path | None = None,
    ) -> WhyNot:
        """Say where an expected source was lost on its way into the top k.

        Raises:
            QueryError: The source was never seen; the fix suggests a near name.
        """
        wanted, _ = self._query(query, image)
        with self.store.snapshot():
            record = self._source(source)
            return why_not(
                self._current().retriever,
                wanted,
                self.store.rows_of(record.source.id),
                record,
                k,
                allow=self._allowed(filter),
            )

    def write_evidence(self, answer: Answer, folder: str | Path, *, question: str = "") -> list[Path]:
        """Write an answer's evidence for people: `index.html`, and pages with the quotes marked.

        Raises:
            StoreError: The folder cannot be written.
        """
        return write_evidence(
            answer,
            path_of(folder, "folder"),
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
        return Pipeline(self.folder, self.store, recipe, self._embedder)

    def verify(self) -> VerifyReport:
        """Check that the store is whole."""
        return verify(self.store)

    def sources(self) -> list[SourceRecord]:
        """Return every file of the folder with its state and reason, sorted by path."""
        return self.store.sources()

    def warnings(self, sources: Iterable[SourceId] | None = None) -> list[str]:
        """Say what of the index is not as the folder is now; nothing when a sync has nothing to do.

        Args:
            sources: Only these files are looked at; all that are known unless given. New files are
                not looked for.
        """
        if sources is None:
            records = self.store.sources()
        else:
            records = [record for source in sorted(set(sources)) if (record := self.store.source(source))]
        changed = [said for record in records if (said := staleness(self.folder, record))]
        found = [f"{said} Run: {self.sync_command}" for said in changed]
        if not is_complete(self.store):
            found.append(
                "Not all files are indexed yet: a sync is at work, or was stopped before its end. "
                f"Run: {self.sync_command}"
            )
        return found

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

    def _query(self, query: str | Query, image: str | Path | None) -> tuple[Query, tuple[str, ...]]:
        if not isinstance(query, str | Query):
            raise QueryError(f"A question is no {type(query).__name__}.", fix="Ask in words, or a Query.")
        if isinstance(query, str):
            wanted = Query.of(query.strip(), image=image)
        else:
            wanted = replace(query, parts=(*query.parts, *Query.of(image=image).parts))
        if not wanted.parts:
            raise QueryError("The question is empty.", fix="Ask in words, or give an image.")
        if len(wanted.text) > MAX_QUESTION_CHARACTERS:
            raise QueryError(
                f"The question has {len(wanted.text)} characters, more than {MAX_QUESTION_CHARACTERS}.",
                fix="Ask in fewer words.",
            )
        return words_for_pictures(wanted, self._embedder.modalities, self._ocr_engine)

    def _allowed(self, filter: str | None) -> Rows | None:
        return None if filter is None else self.store.rows(parse(filter))

    def _digest_of(self, source: SourceId) -> str | None:
        record = self.store.source(source)
        return record.source.digest if record is not None else None

    def _ocr_engine(self) -> Ocr | None:
        if self._ocr is None and self.recipe.index.ocr is not None:
            self._ocr = self.recipe.index.ocr.build()
        return self._ocr

    def _ocr_if_installed(self) -> Ocr | None:
        # Without the engine everything else is still read; each scan and picture then says what it lacks.
        with suppress(MissingExtra):
            return self._ocr_engine()
        return None

    def _source(self, name: str) -> SourceRecord:
        if not isinstance(name, str):
            raise QueryError(f"{name!r} names no source.", fix="Give the name that `status` shows.")
        name = name.encode("utf-8", "replace").decode()  # SQLite takes no half characters.
        record = self.store.source(SourceId(name))
        if record is not None:
            return record
        known = [record.source.id for record in self.store.sources()]
        same_name = [known_id for known_id in known if known_id.rsplit("/", 1)[-1] == name]
        if len(same_name) == 1:
            return self._source(same_name[0])
        raise QueryError(
            f"{name!r} was never seen in {str(self.folder)!r}.",
            fix=f"{did_you_mean(name, known)} If it is new: mmrag sync {self.folder}",
        )

    def _current(self) -> _Snapshot:
        with self.store.snapshot():
            generation = self.store.generation
            current = self._snapshot
            if current is not None and current.generation == generation:
                return current
            # While one thread opens the new state, the others go on with the last one.
            if not self._lock.acquire(blocking=current is None):
                assert current is not None
                return current
            try:
                if self._snapshot is None or self._snapshot.generation != generation:
                    self._snapshot = self._open(generation)
                return self._snapshot
            finally:
                self._lock.release()

    def _open(self, generation: int) -> _Snapshot:
        index, embedder = self.recipe.index, self._embedder
        lexical = open_lexical(self.store, index.lexical)
        dense = open_dense(self.store, index.dense, embedder.dim)
        spoken = main_languages(self.store.languages())
        lanes = (LexicalLane(lexical), DenseLane(embedder, dense, corpus_languages=spoken))
        search = self.recipe.search
        retriever = HybridRetriever(lanes, search.fusion, self.store.items, depth=search.depth)
        answerer = self.recipe.answer.build(embedder, lexical)
        return _Snapshot(generation, self.store.root, retriever, answerer)


def _open_store(places: Places, embedder: Embedder, *, rebuild: bool) -> Store:
    if rebuild or not Store.exists(places.store):
        try:
            return Store.create(places.store, identity=embedder.identity, replace=rebuild)
        except StoreError:
            # Another process may have made it since the look.
            if rebuild or not Store.exists(places.store):
                raise
    fix = f"{places.sync_command} --rebuild"
    return Store.open(places.store, identity=embedder.identity, fix=fix)
