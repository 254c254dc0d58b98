"""Read Jupyter notebooks: text, code, and what the code put out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from mmrag.core.errors import Corrupt, Empty
from mmrag.core.fields import PLACE
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import About, Block, BlockKind, Format, Reading
from mmrag.core.types import Scalar, Source, Span
from mmrag.corpus.readers.decode import decode, read_bytes
from mmrag.corpus.readers.figures import PictureShelf, with_neighbours
from mmrag.corpus.readers.flow import placed, text_block
from mmrag.corpus.readers.notebook.output import (
    data_of,
    error_of,
    is_only_a_name,
    joined,
    picture_of,
    shortened,
    shown,
    streams_joined,
)
from mmrag.corpus.readers.web.html import fragment_blocks, without_spans
from mmrag.corpus.readers.web.markdown import markdown_blocks

_HERE = Span(0, 1)
_NEIGHBOUR_CHARS = 300
_FIGURE_OPTION = re.compile(r"^#\|\s*fig-(cap|alt):[ \t]*[\"']?(.*?)[\"']?[ \t]*$", re.MULTILINE)
_ATTACHED = "attachment:"


class NotebookReader:
    """Reads notebooks of nbformat 2 to 4 as JSON; nothing in them is run."""

    name = "notebook"
    version = 2
    formats = (Format("application/x-ipynb+json", "a Jupyter notebook", (".ipynb",)),)
    about = (
        About(
            "Jupyter notebooks",
            "text, code, printed output, tables, the end of errors; pictures with the code that made them",
            "widgets, progress bars, the middle of outputs beyond 400 lines",
        ),
    )

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        """Read a notebook; spans count the characters of the blocks' texts, two more between blocks.

        Raises:
            Corrupt: It is no JSON, or no notebook.
            Empty: Its cells hold nothing.
            TooLarge: It exceeds `limits.max_text_bytes`.
        """
        decoded = decode(read_bytes(path, context.limits), name=source.id)
        notebook = _parsed(decoded.text, source)
        cells = _cells(notebook, source)
        walk = _Walk(PictureShelf(source, context))
        for number, cell in enumerate(cells, start=1):
            walk.take(number, cell)
            context.progress(number, len(cells))
        if not (walk.blocks or walk.broken or walk.shelf.problems()):
            raise Empty("The notebook holds nothing.", fix="Nothing to do, or restore it.", where=source.id)
        beside = with_neighbours(walk.blocks)
        blocks = [b if b.neighbours else n for b, n in zip(walk.blocks, beside, strict=True)]
        said = notebook.get("metadata")
        title, metadata = _described(said if isinstance(said, dict) else {})
        headings = [block for block in blocks if block.kind == "heading"]
        return Reading(
            tuple(placed(blocks)),
            title=title or next((block.text for block in headings), ""),
            blobs=tuple(walk.shelf.blobs.values()),
            problems=(*decoded.problems, *walk.problems(), *walk.shelf.problems()),
            depends=tuple(sorted(walk.shelf.depends)),
            metadata=metadata,
        )


class _Walk:
    """Goes over the cells; blocks get their places at the end."""

    def __init__(self, shelf: PictureShelf) -> None:
        self.blocks: list[Block] = []
        self.shelf = shelf
        self.broken: list[int] = []
        self._cut = 0
        self._cut_lines = 0
        self._said = ""

    def take(self, number: int, cell: object) -> None:
        if not isinstance(cell, dict):
            self.broken.append(number)
            return
        made = [block for block in self._blocks(number, cell) if block.kind == "figure" or block.text.strip()]
        self.blocks += [replace(b, metadata={**b.metadata, PLACE: f"cell {number}"}) for b in made]

    def problems(self) -> Iterator[str]:
        if self.broken:
            cells = "cell" if len(self.broken) == 1 else "cells"
            yield f"{len(self.broken)} {cells} could not be read, the first one is cell {self.broken[0]}."
        if self._cut:
            outputs = "a long output" if self._cut == 1 else f"{self._cut} long outputs"
            yield f"{self._cut_lines} lines of {outputs} were left out or cut."

    def _blocks(self, number: int, cell: Mapping[str, object]) -> Iterator[Block]:
        kind = cell.get("cell_type")
        source = joined(cell.get("source") or cell.get("input"))
        if kind in ("markdown", "html"):
            attached = cell.get("attachments")
            self.shelf.inside = _Attachments(attached if isinstance(attached, dict) else {})
            for block in markdown_blocks(source, self.shelf):
                self._said = block.text if block.text else self._said
                yield without_spans(block)
        elif kind == "heading":
            level = cell.get("level")
            yield text_block(
                "heading", source.strip(), level=level if isinstance(level, int) and level > 0 else 1
            )
        elif kind == "code":
            yield text_block("code", source.strip("\n"))
            outputs = cell.get("outputs")
            for output in streams_joined(outputs if isinstance(outputs, list) else ()):
                yield from self._output(number, output, source)
        elif source.strip():
            yield text_block("paragraph", source.strip())

    def _output(self, number: int, output: Mapping[str, object], source: str) -> Iterator[Block]:
        kind = output.get("output_type")
        if kind == "stream":
            yield from self._words("code", shown(joined(output.get("text"))))
            return
        if kind in ("error", "pyerr"):
            yield from self._words("code", error_of(output))
            return
        data = data_of(output)
        plain = shown(data.get("text/plain", ""))
        if picture := picture_of(data):
            yield from self._figure(number, picture, source, "" if is_only_a_name(plain) else plain)
            return
        if any(name.startswith("application/vnd.jupyter.widget") for name in data):
            return
        tables = fragment_blocks(data["text/html"]) if "text/html" in data else []
        if any(block.kind == "table" for block in tables) or (
            tables and (not plain or is_only_a_name(plain))
        ):
            yield from map(without_spans, tables)
        elif data.get("text/markdown", "").strip():
            yield from map(without_spans, markdown_blocks(data["text/markdown"], self.shelf))
        elif plain and not is_only_a_name(plain):
            yield from self._words("code", plain)
        else:
            yield from self._words("code", data.get("text/latex", "").strip())

    def _figure(self, number: int, picture: bytes, source: str, alt: str) -> Iterator[Block]:
        said = dict(_FIGURE_OPTION.findall(source))
        figure = self.shelf.picture(
            picture, _HERE, name=f"in cell {number}", alt=said.get("alt", alt), caption=said.get("cap", "")
        )
        if figure is not None:
            around = (self._said[-_NEIGHBOUR_CHARS:], " ".join(source.split())[-_NEIGHBOUR_CHARS:])
            yield replace(figure, neighbours="\n".join(filter(None, around)))

    def _words(self, kind: BlockKind, text: str) -> Iterator[Block]:
        kept, left = shortened(text)
        self._cut += left > 0
        self._cut_lines += left
        if kept.strip():
            yield text_block(kind, kept)


def _parsed(text: str, source: Source) -> dict[str, object]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:150]
        raise Corrupt(
            f"The notebook is broken: it is no JSON ({why}).",
            fix="Restore it from its source, or open and save it in Jupyter.",
            where=source.id,
        ) from error
    if not isinstance(found, dict):
        raise _no_notebook(source)
    return found


def _cells(notebook: Mapping[str, object], source: Source) -> Sequence[object]:
    sheets = notebook.get("worksheets")
    if isinstance(sheets, list):
        lists = [sheet.get("cells") for sheet in sheets if isinstance(sheet, dict)]
        return [cell for cells in lists if isinstance(cells, list) for cell in cells]
    cells = notebook.get("cells")
    version = notebook.get("nbformat")
    if cells is None and sheets is None and version in (2, 3):
        return ()
    if not isinstance(cells, list):
        raise _no_notebook(source)
    return cells


def _no_notebook(source: Source) -> Corrupt:
    return Corrupt(
        "The file is JSON, but no notebook: it has no list of cells.",
        fix="Give it the suffix .json, or restore it from its source.",
        where=source.id,
    )


def _described(said: Mapping[str, object]) -> tuple[str, dict[str, Scalar]]:
    """Return the title, and authors and the language of the code."""
    metadata: dict[str, Scalar] = {}
    for key in ("language_info", "kernelspec"):
        info = said.get(key)
        name = (info.get("language") or info.get("name")) if isinstance(info, dict) else ""
        if isinstance(name, str) and name and "code_language" not in metadata:
            metadata["code_language"] = name
    authors = said.get("authors")
    listed = authors if isinstance(authors, list) else []
    people = [one.get("name") if isinstance(one, dict) else one for one in listed]
    if names := ", ".join(name for name in people if isinstance(name, str) and name):
        metadata["author"] = names
    title = said.get("title")
    return (" ".join(title.split()) if isinstance(title, str) else ""), metadata


class _Attachments:
    """The pictures in a Markdown cell, by the names that its links use."""

    def __init__(self, attached: Mapping[str, object]) -> None:
        self._attached = attached

    def __call__(self, link: str) -> bytes | None:
        if not link.lower().startswith(_ATTACHED):
            return None
        data = self._attached.get(unquote(link[len(_ATTACHED) :]))
        representations = data_of({"data": data}) if isinstance(data, dict) else {}
        return picture_of(representations) or None
