"""Find the words of an SVG drawing and where they stand, without drawing it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.parsers import expat

from mmrag.core.errors import Corrupt
from mmrag.core.types import Box, Page, Part
from mmrag.corpus.readers.drawings.svg_places import (
    MAX_STYLE_CHARS,
    Matrix,
    canvas_of,
    font_of,
    foreign_corners,
    length_of,
    moved,
    point_at,
)
from mmrag.corpus.readers.lines import CELL_SEPARATOR, PlacedText

_SVG = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+(?>(?:<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*+(?>\[.*?\]\s*+)?>)\s*+)*+<(?:\w+:)?svg\b",
    re.DOTALL,
)
_HEAD_BYTES = 8192
_TITLE_NAMES = ("title", "desc")
_UNSEEN = frozenset(["style", "script", "clipPath", "mask"])
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)")
_BLOCKS = frozenset(
    ["br", "div", "p", "li", "tr", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "table", "ul", "ol"]
)
_ANCHOR = re.compile(r"text-anchor\s*:\s*(\w+)")
_DEFAULT_FONT = 16.0
_LETTER_WIDTH, _ASCENT, _DESCENT = 0.55, 0.8, 0.2
"""Of the font's size: what an ordinary sans serif has on average."""
_OUTLINED_FONT = 100.0
"""matplotlib draws words as outlines at this size, and names them in a comment before."""
_SAME_ROW = 0.6
_MAX_ENTITY_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a drawing says.

    Units:
        size in pixels, or in units of its view box; None if it does not say.
    """

    title: str
    description: str
    author: str
    words: Part | None
    size: tuple[float, float] | None


def is_drawing(data: bytes) -> bool:
    """Whether bytes begin like an SVG drawing."""
    return _SVG.match(data[:_HEAD_BYTES]) is not None


def read_drawing(data: bytes, *, name: str) -> Drawing:
    """Find the words of a drawing; its own coordinates tell where they stand, as far as they do.

    Raises:
        Corrupt: It is not well-formed XML, no SVG, or declares entities that refer to others or to files.
    """
    walk = _Walk(name)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = walk.start
    parser.EndElementHandler = walk.end
    parser.CharacterDataHandler = walk.text
    parser.CommentHandler = walk.comment
    parser.EntityDeclHandler = walk.entity
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        if isinstance(error, Corrupt):
            raise
        raise _corrupt(f"The drawing is broken: it is not well-formed XML ({error}).", name) from error
    return walk.drawing()


@dataclass(slots=True)
class _Line:
    """Words that stand on one base line."""

    words: list[str]
    x: float | None
    y: float | None
    font: float
    anchor: str
    matrix: Matrix | None


@dataclass(slots=True)
class _Label:
    lines: list[_Line] = field(default_factory=list)
    box: Box | None = None

    @property
    def text(self) -> str:
        return " ".join(" ".join("".join(line.words).split()) for line in self.lines).strip()


@dataclass(slots=True)
class _Frame:
    """What an element hands down to those in it."""

    name: str
    matrix: Matrix | None
    font: float
    anchor: str
    is_hidden: bool
    is_foreign: bool = False
    opens: _Label | None = None
    gathers: list[str] | None = None
    chosen: bool = False
    """Whether one of a switch's children has been taken."""


class _Walk:
    """Takes the parser's events; it holds the open elements, never the whole tree."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._frames: list[_Frame] = []
        self._canvas: tuple[float, float, float, float] | None = None
        self._label: _Label | None = None
        self._outlined = ""
        self._placed: list[tuple[Box, str]] = []
        self._loose: dict[str, None] = {}
        self._said: dict[str, list[str]] = {}

    def drawing(self) -> Drawing:
        said = {key: " ".join("".join(words).split()) for key, words in self._said.items()}
        title = said.get("title") or said.get("dc:title") or said.get("aria-label", "")
        description = said.get("desc") or said.get("dc:description", "")
        size = (self._canvas[2], self._canvas[3]) if self._canvas else None
        return Drawing(title, description, said.get("dc:creator", ""), self._words(title), size)

    def start(self, full_name: str, said: dict[str, str]) -> None:
        name = full_name.rpartition(":")[2]
        if not self._frames:
            if name != "svg":
                raise _corrupt(
                    f"The file is XML, but no SVG drawing: it begins with <{name[:40]}>.", self._name
                )
            self._canvas = canvas_of(said)
            frame = _Frame(name, (1, 0, 0, 1, 0, 0), font_of(said, _DEFAULT_FONT), "start", is_hidden=False)
            if words := said.get("aria-label"):
                self._said["aria-label"] = [words]
        else:
            frame = self._inner(full_name, name, said, self._frames[-1])
        self._frames.append(frame)

    def end(self, _full_name: str) -> None:
        frame = self._frames.pop()
        if frame.is_foreign and frame.name in _BLOCKS:
            self.text(" ")
        if frame.opens is not None:
            self._finish(frame.opens)
            self._label = None
        if frame.gathers is not None and frame.name in _TITLE_NAMES and len(self._frames) > 1:
            self._loosen("".join(frame.gathers))

    def text(self, words: str) -> None:
        frame = self._frames[-1] if self._frames else None
        if frame is None or frame.is_hidden:
            return
        if frame.gathers is not None:
            frame.gathers.append(words)
        elif self._label is not None:
            self._label.lines[-1].words.append(words)

    def comment(self, words: str) -> None:
        # matplotlib: <g id="text_3"> <!-- Voltage (V) --> <g transform="translate(...) scale(...)">
        if self._frames and self._frames[-1].name == "text outline":
            self._outlined = words.strip()

    def entity(self, name: str, is_parameter: bool, value: str | None, *_rest: str | None) -> None:
        # Old Illustrator names its namespaces by entities; those that hold no others cannot grow.
        if is_parameter or value is None or "&" in value or "%" in value or len(value) > _MAX_ENTITY_CHARS:
            raise Corrupt(
                f"It declares the XML entity {name[:40]!r}, which can be made to fill the memory.",
                fix="Open it in a drawing program, and save it again as plain SVG.",
                where=self._name,
            )

    def _inner(self, full_name: str, name: str, said: dict[str, str], above: _Frame) -> _Frame:
        style = said.get("style", "")[:MAX_STYLE_CHARS]
        hidden = (
            above.is_hidden
            or name in _UNSEEN
            or said.get("display") == "none"
            or said.get("visibility") in ("hidden", "collapse")
            or _HIDDEN.search(style) is not None
        )
        if above.name == "switch":
            hidden = hidden or above.chosen or "systemLanguage" in said
            above.chosen = above.chosen or "systemLanguage" not in said
        anchor = _ANCHOR.search(style)
        frame = _Frame(
            name,
            moved(name, said, above.matrix),
            font_of(said, above.font),
            anchor.group(1) if anchor else said.get("text-anchor", above.anchor),
            hidden,
            is_foreign=above.is_foreign or name == "foreignObject",
            gathers=above.gathers,
        )
        if hidden:
            return frame
        if label := said.get("aria-label"):
            self._loosen(label)
        if above.name in ("metadata", "rdf") or full_name.startswith("dc:"):
            self._describe(full_name, frame)
        elif name == "metadata":
            frame.gathers = []
        elif name in _TITLE_NAMES and self._label is None:
            frame.gathers = self._said.setdefault(name, []) if len(self._frames) == 1 else []
        elif name == "g" and said.get("id", "").startswith("text_"):
            frame.name = "text outline"
        elif name == "g" and self._outlined:
            label_of = _Label([_Line([self._outlined], 0.0, 0.0, _OUTLINED_FONT, "start", frame.matrix)])
            self._outlined = ""
            self._finish(label_of)
        elif name == "foreignObject" and self._label is None:
            frame.opens = self._label = _Label([_Line([], None, None, frame.font, "start", None)])
            frame.opens.box = self._box_of(frame.matrix, *foreign_corners(said))
        elif name == "text" and self._label is None:
            frame.opens = self._label = _Label()
            self._begin_line(said, frame, None)
        elif name in ("tspan", "textPath") and self._label is not None and self._label.lines:
            last = self._label.lines[-1]
            if name == "textPath":
                last.matrix = None
            elif {"x", "y"} & said.keys() or length_of(said.get("dy", ""), frame.font):
                self._begin_line(said, frame, last)
        elif frame.is_foreign and name in _BLOCKS:
            self.text(" ")
        return frame

    def _begin_line(self, said: dict[str, str], frame: _Frame, last: _Line | None) -> None:
        if self._label is None:
            return
        before = (last.x, last.y) if last else (0.0, 0.0)
        x = length_of(said["x"], frame.font) if "x" in said else before[0]
        y = length_of(said["y"], frame.font) if "y" in said else before[1]
        if (step := length_of(said.get("dy", ""), frame.font)) and y is not None:
            y += step
        self._label.lines.append(_Line([], x, y, frame.font, frame.anchor, frame.matrix))

    def _describe(self, full_name: str, frame: _Frame) -> None:
        """Take Dublin Core; a creator's name stands in a title within it."""
        within = [above.name for above in self._frames]
        if full_name in ("dc:title", "dc:description", "dc:creator") and "creator" not in within:
            frame.gathers = self._said.setdefault(full_name, [])
        elif "creator" not in within:
            frame.gathers = []

    def _finish(self, label: _Label) -> None:
        text = label.text
        if not text:
            return
        boxes = [self._line_box(line) for line in label.lines if "".join(line.words).strip()]
        known = [box for box in boxes if box is not None]
        box = label.box or (Box.around(known) if known and len(known) == len(boxes) else None)
        if box is None:
            self._loosen(text)
        else:
            self._placed.append((box, text))

    def _loosen(self, words: str) -> None:
        if text := " ".join(words.split()):
            self._loose[text] = None

    def _line_box(self, line: _Line) -> Box | None:
        if line.x is None or line.y is None:
            return None
        width = _LETTER_WIDTH * line.font * len(" ".join("".join(line.words).split()))
        x = line.x - {"middle": width / 2, "end": width}.get(line.anchor, 0.0)
        up, down = (_DESCENT, _ASCENT) if line.font == _OUTLINED_FONT else (_ASCENT, _DESCENT)
        return self._box_of(line.matrix, x, line.y - up * line.font, x + width, line.y + down * line.font)

    def _box_of(self, matrix: Matrix | None, *corners: float | None) -> Box | None:
        """Return a rectangle of the drawing in fractions of its canvas; None where that is not known."""
        if matrix is None or self._canvas is None or None in corners or len(corners) != 4:
            return None
        x0, y0, x1, y1 = (corner or 0.0 for corner in corners)
        left, top, width, height = self._canvas
        points = [point_at(matrix, x, y) for x in (x0, x1) for y in (y0, y1)]
        xs = [(x - left) / width for x, _ in points]
        ys = [(y - top) / height for _, y in points]
        if not all(map(math.isfinite, xs + ys)):
            return None
        box = Box(*(min(max(value, 0.0), 1.0) for value in (min(xs), min(ys), max(xs), max(ys))))
        return box if box.x0 < box.x1 and box.y0 < box.y1 else None

    def _words(self, title: str) -> Part | None:
        made = PlacedText()
        for row in _rows(self._placed):
            made.add("\n" if made.length else "")
            for i, (box, text) in enumerate(row):
                made.add(CELL_SEPARATOR if i else "")
                made.add(text, Page(1, box))
        said = {text for _, text in self._placed} | {title}
        for text in self._loose:
            if text not in said:
                made.add("\n" if made.length else "")
                made.add(text, Page(1))
        return made.part("ocr") if made.length else None


def _rows(placed: Sequence[tuple[Box, str]]) -> list[list[tuple[Box, str]]]:
    """Sort labels from top to bottom, those at one height from left to right."""
    rows: list[list[tuple[Box, str]]] = []
    for box, text in sorted(placed, key=lambda label: (label[0].y0 + label[0].y1, label[0].x0, label[1])):
        first = rows[-1][0][0] if rows else None
        if first is not None:
            overlap = min(first.y1, box.y1) - max(first.y0, box.y0)
            if overlap > _SAME_ROW * min(first.y1 - first.y0, box.y1 - box.y0):
                rows[-1].append((box, text))
                continue
        rows.append([(box, text)])
    return [sorted(row, key=lambda label: label[0].x0) for row in rows]


def _corrupt(message: str, name: str) -> Corrupt:
    return Corrupt(message, fix="Restore it from its source, or export it again as SVG.", where=name)
