"""What a recipe may say: the keys of index and pipeline recipes, checked all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmrag.core.errors import ConfigError, UnknownName, did_you_mean
from mmrag.core.identity import digest_json
from mmrag.core.protocols import Fusion
from mmrag.core.registry import Registry
from mmrag.recipes.components import Components
from mmrag.recipes.document import Document, KeyPath, Problem
from mmrag.recipes.parameters import build_options, convert, to_data

if TYPE_CHECKING:
    from mmrag.index.published import Indexes

VERSION = 1
LANES = ("lexical", "dense", "pictures")
Kind = Literal["index", "pipeline"]

NOTES: dict[str, Any] = {
    "description": str,
    "licence": str,
    "needs": tuple[str, ...],
    "parameters": str,
}
"""What people read; it is no part of a recipe's digest."""

INDEX_KEYS = ("embedder", "splitter", "ocr", "captioner", "dense", "lexical", "pictures")
_OPTIONAL = ("ocr", "captioner", "pictures")
PIPELINE_KEYS = ("index", "search", "evidence", "answer")
SEARCH_KEYS = ("depth", "fusion")


@dataclass(frozen=True, slots=True)
class IndexRecipe:
    """How a folder becomes an index; each component is its options, ready to build.

    `data` is the recipe written out with every default, `digest` the digest of its components.
    """

    name: str
    embedder: Any
    splitter: Any
    ocr: Any | None
    captioner: Any | None
    dense: Any
    lexical: Any
    pictures: Any | None
    data: Mapping[str, Any]
    digest: str
    description: str = ""
    licence: str = ""
    needs: tuple[str, ...] = ()
    parameters: str = ""

    def indexes(self, corpus: Path) -> Indexes:
        """Return the search indexes over a folder, as options."""
        from mmrag.index.published import Indexes

        return Indexes(self.dense, self.lexical, self.pictures, corpus)


@dataclass(frozen=True, slots=True)
class SearchRecipe:
    """How lanes become one list: each lane hands its best `depth` hits to the fusion."""

    fusion: Fusion
    depth: int = 100


@dataclass(frozen=True, slots=True)
class PipelineRecipe:
    """How a question becomes an answer over an index; the best `evidence` hits go to the answerer."""

    name: str
    index: IndexRecipe
    search: SearchRecipe
    evidence: int
    answer: Any
    data: Mapping[str, Any]
    digest: str
    description: str = ""
    licence: str = ""
    needs: tuple[str, ...] = ()
    parameters: str = ""


@dataclass(slots=True)
class Checker:
    """Checks one document and collects every problem."""

    document: Document
    components: Components
    problems: list[Problem] = field(default_factory=list)

    def complain(self, path: KeyPath, message: str, fix: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(self.document.where(path), message, fix))

    def keys(self, value: Any, path: KeyPath, known: Iterable[str], required: Iterable[str] = ()) -> bool:
        """Check that `value` is a mapping of known keys that has the required ones."""
        if not isinstance(value, Mapping):
            self.complain(path, f"Expected a mapping, found {value!r}.", "Put its keys on indented lines.")
            return False
        known = list(known)
        for key in value:
            if key not in known:
                self.complain((*path, key), f"There is no key {key!r} here.", did_you_mean(key, known))
        for key in required:
            if key not in value and self.document.whole:
                self.complain((*path, key), f"The key {key!r} is missing.", f"Add it, or a line: {_HINT}")
        return True

    def typed(self, value: Mapping[str, Any], key: str, hint: Any, path: KeyPath = ()) -> Any:
        """Return the value of a key as its type, or None where it is missing or wrong."""
        if key not in value:
            return None
        return convert(value[key], hint, (*path, key), self.complain)[1]

    def at_least(self, value: Any, least: int, path: KeyPath) -> None:
        """Check the lower bound of a number."""
        if value is not None and value < least:
            self.complain(path, f"{value} is too small.", f"Give at least {least}.")

    def component(self, value: Any, path: KeyPath, registry: Registry) -> tuple[Any, dict[str, Any]]:
        """Return a component's options and its data, or None and nothing after a problem."""
        kind = registry.kind.replace("_", " ")
        if not isinstance(value, Mapping):
            self.complain(
                path,
                f"Expected the name of a component ({kind}), found {value!r}.",
                f"Known: {', '.join(registry.names())}.",
            )
            return None, {}
        name = value.get("type")
        if not isinstance(name, str):
            missing = "The key 'type' is missing." if name is None else f"Expected text, found {name!r}."
            if name is not None or self.document.whole:
                self.complain((*path, "type"), missing, f"Known: {', '.join(registry.names())}.")
            return None, {}
        try:
            factory = registry.get(name)
        except UnknownName:
            self.complain(
                (*path, "type"), f"There is no {kind} named {name!r}.", did_you_mean(name, registry.names())
            )
            return None, {}
        except ConfigError as error:
            self.complain((*path, "type"), error.message, error.fix)
            return None, {}
        given = {key: parameter for key, parameter in value.items() if key != "type"}
        options = build_options(factory, given, path, self.complain)
        return options, {"type": name, **(to_data(options) if options is not None else {})}

    def notes(self) -> dict[str, Any]:
        """Return the notes that are there."""
        data = self.document.data
        found = {key: self.typed(data, key, hint) for key, hint in NOTES.items()}
        return {key: value for key, value in found.items() if value is not None}


_HINT = "extends: default"


def check_index(name: str, checker: Checker) -> IndexRecipe | None:
    """Return the index recipe of a document, or None when the checker found a problem."""
    document, components = checker.document, checker.components
    data = document.data
    required = [key for key in INDEX_KEYS if key not in _OPTIONAL]
    if not checker.keys(data, (), (*INDEX_KEYS, *NOTES, "recipe", "extends"), required):
        return None
    notes = checker.notes()
    registries = {key: getattr(components, key) for key in INDEX_KEYS}
    options: dict[str, Any] = {}
    resolved: dict[str, Any] = {}
    for key, registry in registries.items():
        if data.get(key) is None and (key in _OPTIONAL or key not in data):
            options[key], resolved[key] = None, None
        else:
            options[key], resolved[key] = checker.component(data[key], (key,), registry)
    if checker.problems:
        return None
    written = {**_plain(notes), **resolved}
    return IndexRecipe(name=name, data=written, digest=digest_json(resolved), **options, **notes)


def check_pipeline(name: str, checker: Checker, index: IndexRecipe | None) -> PipelineRecipe | None:
    """Return the pipeline recipe of a document over `index`, or None when there was a problem."""
    document, components = checker.document, checker.components
    data = document.data
    required = [key for key in PIPELINE_KEYS if key != "evidence"]
    checker.keys(data, (), (*PIPELINE_KEYS, *NOTES, "recipe", "extends"), required)
    notes = checker.notes()
    evidence = checker.typed(data, "evidence", int) if "evidence" in data else 10
    checker.at_least(evidence, 1, ("evidence",))
    search, search_data = _search(checker, data["search"]) if "search" in data else (None, {})
    answer, answer_data = (
        checker.component(data["answer"], ("answer",), components.answerer)
        if "answer" in data
        else (None, {})
    )
    if checker.problems or index is None or search is None:
        return None
    resolved = {"search": search_data, "evidence": evidence, "answer": answer_data}
    digest = digest_json({**resolved, "index": index.digest})
    written = {**_plain(notes), "index": dict(index.data), **resolved}
    notes["needs"] = tuple(sorted({*notes.get("needs", ()), *index.needs}))
    return PipelineRecipe(
        name=name,
        index=index,
        search=search,
        evidence=evidence,
        answer=answer,
        data=written,
        digest=digest,
        **notes,
    )


def _search(checker: Checker, value: Any) -> tuple[SearchRecipe | None, dict[str, Any]]:
    if not checker.keys(value, ("search",), SEARCH_KEYS, ("fusion",)):
        return None, {}
    depth = checker.typed(value, "depth", int, ("search",)) if "depth" in value else 100
    checker.at_least(depth, 1, ("search", "depth"))
    if "fusion" not in value:
        return None, {}
    path = ("search", "fusion")
    fusion, data = checker.component(value["fusion"], path, checker.components.fusion)
    weights = getattr(fusion, "weights", None)
    for lane in weights if isinstance(weights, Mapping) else ():
        if lane not in LANES:
            checker.complain(
                (*path, "weights", lane), f"There is no lane {lane!r}.", did_you_mean(lane, LANES)
            )
    if fusion is None or depth is None:
        return None, {}
    return SearchRecipe(fusion, depth), {"depth": depth, "fusion": data}


def _plain(notes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in notes.items()}
