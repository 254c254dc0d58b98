"""The lanes of a hybrid search: each ranks all items in its own way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from mmrag.core.errors import SourceError
from mmrag.core.language import detect_language
from mmrag.core.protocols import Embedder, Index, NotingEmbedder, Rows, TextIndex
from mmrag.core.query_syntax import plain
from mmrag.core.types import Embeddings, Matches, Modality, Part, Query, Scalar
from mmrag.search.picture_lane import refuse_pipe, unopened


class Lane(Protocol):
    """One ranked list of a hybrid search."""

    @property
    def name(self) -> str:
        """What the lane is called in hits, weights and explanations; `part:of` is a part of lane `part`."""
        ...

    @property
    def modalities(self) -> frozenset[Modality]:
        """What parts of a query it looks at: nobody misses it in a query without any of them."""
        ...

    def why_not_usable(self, query: Query) -> str | None:
        """Return a sentence that says why the lane cannot search for a query, None when it can."""
        ...

    def limits(self, query: Query) -> str | None:
        """Return a sentence on what of the query a usable lane leaves out, None when nothing."""
        ...

    def search(self, query: Query, k: int, *, allow: Rows | None = None) -> Matches:
        """Find the k best rows of one query."""
        ...

    def __len__(self) -> int: ...


@runtime_checkable
class Noting(Protocol):
    """A lane that says more of a query once it has searched for it."""

    def notes(self, query: Query) -> tuple[str, ...]:
        """Return sentences on what became of the query."""
        ...


@runtime_checkable
class Demanding(Protocol):
    """A lane that knows which rows a query leaves to all lanes, and how it reads the query."""

    def demanded(self, query: Query) -> Rows | None:
        """Return the rows that may be found, sorted; None for all."""
        ...

    def told(self, query: Query) -> Mapping[str, Scalar]:
        """Return how a query is understood, for explanations."""
        ...


class DenseLane:
    """Ranks by the similarity of embeddings.

    Args:
        embedder: Embeds the queries.
        index: Holds the embeddings of the items.
        corpus_languages: The languages that most of the corpus is in; empty when unknown.
        detect: Tells the language of a text, or None.
    """

    def __init__(
        self,
        embedder: Embedder,
        index: Index,
        *,
        name: str = "dense",
        corpus_languages: frozenset[str] = frozenset(),
        detect: Callable[[str], str | None] = detect_language,
    ) -> None:
        self.name = name
        self._embedder = embedder
        self._index = index
        self._corpus_languages = corpus_languages
        self._detect = detect
        self._last: tuple[object, Embeddings] | None = None

    @property
    def modalities(self) -> frozenset[Modality]:
        """What the embedder takes."""
        return self._embedder.modalities

    def why_not_usable(self, query: Query) -> str | None:
        """Return why the embedder cannot take a query: its modality, its language, or the corpus's."""
        if not query.parts:
            return "The query is empty."
        seen = self._seen(query)
        if not seen.parts:
            taken, given = _join(self._embedder.modalities), _join(query.modalities)
            return f"The embedder {self._who} takes {taken}, not {given}."
        known = self._embedder.languages
        if known is None or seen.modalities != {"text"}:
            return None
        if not seen.text.strip():
            return "The query is empty."
        language = self._detect(seen.text)
        if language is not None and language not in known:
            return (
                f"The question is in a language ({language}) that the embedder {self._who} does not know "
                f"(it knows {_join(known)})."
            )
        if self._corpus_languages and not self._corpus_languages & known:
            return (
                f"The documents are in languages ({_join(self._corpus_languages)}) that the embedder "
                f"{self._who} does not know (it knows {_join(known)})."
            )
        return None

    def limits(self, query: Query) -> str | None:
        """Return which parts of a query the embedder does not take."""
        missed = query.modalities - self._embedder.modalities
        if not missed:
            return None
        return f"The embedder {self._who} does not take {_join(missed)}: that part of the query was left out."

    def notes(self, query: Query) -> tuple[str, ...]:
        """Return what the embedder said of a query that was searched for."""
        return (
            self._embedder.notes_on(self._seen(query)) if isinstance(self._embedder, NotingEmbedder) else ()
        )

    def search(self, query: Query, k: int, *, allow: Rows | None = None) -> Matches:
        """Find the k rows whose embeddings are nearest to those of the query."""
        return self._index.search(self._embedded(query), k, allow=allow)

    def __len__(self) -> int:
        return len(self._index)

    def _embedded(self, query: Query) -> Embeddings:
        # One query is searched for several times: deeper, and in each part of a lane.
        last = self._last
        asked = query, tuple(_stamp(part) for part in query.parts)
        if last is None or last[0] != asked:
            last = self._last = asked, self._embed(self._seen(query))
        return last[1]

    def _embed(self, query: Query) -> Embeddings:
        paths = [Path(part.media or "") for part in query.parts if part.modality == "image"]
        for path in paths:
            refuse_pipe(path)
        try:
            return self._embedder.embed_queries([query])
        except SourceError as error:
            raise unopened(", ".join(map(str, paths)), error) from error

    @property
    def _who(self) -> str:
        identity = self._embedder.identity
        return identity.get("embedder") or identity.get("name") or "in use"

    def _seen(self, query: Query) -> Query:
        taken = self._embedder.modalities
        parts = (part for part in query.parts if part.modality in taken)
        # `-name:old` and its like are for the lexical index; an embedder would take them for words.
        return replace(
            query, parts=tuple(replace(part, text=plain(part.text)) if part.text else part for part in parts)
        )


class LexicalLane:
    """Ranks by the words that query and item share."""

    def __init__(self, index: TextIndex, *, name: str = "lexical") -> None:
        self.name = name
        self._index = index

    @property
    def modalities(self) -> frozenset[Modality]:
        """Words only."""
        return frozenset({"text"})

    def why_not_usable(self, query: Query) -> str | None:
        """Return that a query has no words."""
        return None if self._index.analyze(query.text) else "The query has no words to look for."

    def limits(self, query: Query) -> str | None:
        """Return that only the words of a query are looked for."""
        others = query.modalities - {"text"}
        return f"Words only were looked for, not the {_join(others)}." if others else None

    def demanded(self, query: Query) -> Rows | None:
        """Return the rows that a query's `+"word"` and `-"word"` leave to all lanes, sorted; None for all."""
        find: Callable[[str], Rows | None] | None = getattr(self._index, "demanded", None)
        return find(query.text) if find is not None else None

    def told(self, query: Query) -> Mapping[str, Scalar]:
        """Return how a query is understood, for explanations."""
        describe: Callable[[str], str] | None = getattr(self._index, "describe", None)
        return {"query": describe(query.text)} if describe is not None else {}

    def search(self, query: Query, k: int, *, allow: Rows | None = None) -> Matches:
        """Find the k rows whose words match the query best."""
        return self._index.search([query.text], k, allow=allow)

    def __len__(self) -> int:
        return len(self._index)


def _stamp(part: Part) -> tuple[int, ...] | None:
    """Return what changes with the file that a part names; None where it names none."""
    if part.media is None:
        return None
    try:
        found = Path(part.media).stat()
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _join(names: frozenset[str] | set[str]) -> str:
    return " and ".join(sorted(names))
