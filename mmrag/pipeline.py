"""Pipeline: sync a folder, search it, ask it, and look inside."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from mmrag.answer import compose_answer, write_evidence
from mmrag.core.errors import ConfigError, MissingExtra, QueryError, did_you_mean
from mmrag.core.filters import parse
from mmrag.core.protocols import Answerer, Embedder, Ocr, Rows
from mmrag.core.types import Answer, Hit, Query, SourceId
from mmrag.corpus import READERS, Progress, SyncReport, sync
from mmrag.index.published import open_dense, open_lexical, publish
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

STORE_FOLDER = ".mmrag"
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
        root = Path(folder)
        if not root.is_dir():
            raise ConfigError(
                f"There is no folder {str(folder)!r}.", fix="Name a folder that holds your documents."
            )
        plan = load_pipeline(recipe)
        embedder: Embedder = plan.index.embedder.build()
        place = Path(store) if store is not None else root / STORE_FOLDER
        command = shlex.join(["mmrag", "sync", str(folder), *(["--store", str(store)] if store else [])])
        is_new = not Store.exists(place)
        if is_new and sync == "never":
            raise ConfigError(f"{str(folder)!r} has no index yet.", fix=f"Run: {command}")
        if is_new or rebuild:
            opened = Store.create(place, identity=embedder.identity, replace=rebuild)
        else:
            opened = Store.open(place, identity=embedder.identity, fix=f"{command} --rebuild")
        pipeline = cls(root, opened, plan, embedder)
        if sync == "always" or (sync == "new" and is_new):
            pipeline.sync(on_progress=on_progress)
        return pipeline

    def sync(
        self, *, dry_run: bool = False, on_progress: Callable[[Progress], None] | None = None
    ) -> SyncReport:
        """Make the index equal to the folder; a second run does nothing.

        Raises:
            Locked: Another process is syncing; the message names it.
        """
        index = self.recipe.index
        report = sync(
            self.folder,
            self.store,
            self._embedder,
            readers=READERS,
            splitter=index.splitter.build(self._embedder.count_tokens),
            ocr=self._ocr_if_installed(),
            dry_run=dry_run,
            on_progress=on_progress,
        )
        if not dry_run:
            publish(self.store, index.dense, index.lexical, self._embedder.dim)
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
        found = self._current().retriever.explain(wanted, k, allow=self._allowed(filter))
        return replace(found, notes=(*notes, *found.notes))

    def ask(
        self, question: str | Query, *, filter: str | None = None, image: str | Path | None = None
    ) -> Answer:
        """Answer a question from the folder, with citations that were checked, or say why not.

        Raises:
            QueryError: The question is empty, or the filter cannot be parsed.
        """
        snapshot = self._current()
        query, notes = self._query(question, image)
        found = snapshot.retriever.explain(query, self.recipe.evidence, allow=self._allowed(filter))
        return compose_answer(
            query,
            found.hits,
            snapshot.answerer,
            notes=(*notes, *found.notes),
            steps=found.steps,
            root=snapshot.root,
        )

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
        record = self._source(source)
        wanted, _ = self._query(query, image)
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
            Path(folder),
            open_media=lambda source: self.folder / source,
            blob=self.store.blob,
            question=question,
            digest_of=self._digest_of,
        )

    def without_refusal(self) -> Pipeline:
        """Return a pipeline over the same store that answers whatever it is asked: for calibration.

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
        wanted = query if isinstance(query, Query) else Query.of(query.strip(), image=image)
        if not wanted.parts:
            raise QueryError("The question is empty.", fix="Ask in words, or give an image.")
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
        with self._lock, self.store.snapshot():
            generation = self.store.generation
            if self._snapshot is None or self._snapshot.generation != generation:
                self._snapshot = self._open(generation)
            return self._snapshot

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
