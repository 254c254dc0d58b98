"""The words of a Word paragraph, and what is anchored in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal
from xml.etree.ElementTree import Element

from mmrag.corpus.readers.office.package import DGM, MC, A, M, R, W, alt_of, local

_RUNS = ("r", "hyperlink", "fldSimple", "smartTag", "dir", "bdo", "ruby", "rubyBase")
_WRAPPED = ("ins", "moveTo", "sdt", "sdtContent", "customXml")
_INSIDE = frozenset(f"{W}{name}" for name in (*_RUNS, *_WRAPPED))
_INSERTED = {
    f"{W}tab": "\t",
    f"{W}ptab": "\t",
    f"{W}br": "\n",
    f"{W}cr": "\n",
    f"{W}noBreakHyphen": "-",
}
_DRAWINGS = (f"{W}drawing", f"{W}pict", f"{W}object")
_NOTES = {
    f"{W}footnoteReference": "footnote",
    f"{W}endnoteReference": "endnote",
    f"{W}commentReference": "comment",
}
_EQUATION_JOINTS = {f"{M}f": "/", f"{M}sSup": "^", f"{M}sSub": "_"}

Shown = Literal["box", "words", "picture", "chart", "diagram", "object"]


@dataclass(frozen=True, slots=True)
class Anchored:
    """What a drawing shows: a text box, the words of a WordArt, a picture, a chart, an embedded object.

    `reference` is the relation's id, the words, or an object's program; `alt` is for pictures and charts.
    """

    kind: Shown
    reference: str = ""
    alt: str = ""
    box: Element | None = None


@dataclass(slots=True)
class Inline:
    """The words of one paragraph, as they are after all tracked changes."""

    anchored: list[Anchored] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    _pieces: list[str] = field(default_factory=list)
    _fields: list[bool] = field(default_factory=list)

    @property
    def raw(self) -> str:
        """The words with all their spaces, as code needs them."""
        return "".join(self._pieces)

    @property
    def text(self) -> str:
        """The words with single spaces; lines end where the author broke them."""
        return "\n".join(filter(None, (" ".join(line.split()) for line in self.raw.split("\n"))))

    def read(self, element: Element, marks: dict[tuple[str, str], str]) -> None:
        """Append the words of an element; `marks` collects the notes, each with its mark in the text."""
        for child in element:
            tag = child.tag
            if tag == f"{W}t":
                self._add(child.text or "")
            elif tag in _INSIDE:
                self.read(child, marks)
            elif tag in _INSERTED:
                self._add(_INSERTED[tag])
            elif tag == f"{W}fldChar":
                self._field(child.get(f"{W}fldCharType", ""))
            elif tag in _DRAWINGS:
                self.anchored.extend(_anchored(child))
            elif tag in _NOTES:
                self._note(_NOTES[tag], child.get(f"{W}id", ""), marks)
            elif tag in (f"{M}oMath", f"{M}oMathPara"):
                self._add(f" {equation(child)} ")
            elif tag == f"{MC}AlternateContent":
                self._alternative(child, marks)

    def _add(self, words: str) -> None:
        # Between a field's beginning and its separator stands its code, with the results of inner fields.
        if all(self._fields):
            self._pieces.append(words)

    def _field(self, kind: str) -> None:
        if kind == "begin":
            self._fields.append(False)
        elif self._fields and kind == "separate":
            self._fields[-1] = True
        elif self._fields and kind == "end":
            self._fields.pop()

    def _note(self, kind: str, ident: str, marks: dict[tuple[str, str], str]) -> None:
        mark = marks.get((kind, ident))
        if mark is None:
            count = sum(known == kind for known, _ in marks) + 1
            mark = {"footnote": f"[{count}]", "endnote": f"[e{count}]"}.get(kind, "")
            marks[kind, ident] = mark
            self.notes.append((kind, ident))
        self._add(mark)

    def _alternative(self, element: Element, marks: dict[tuple[str, str], str]) -> None:
        """Read the first of the copies for newer and older programs that gives anything."""
        before = len(self._pieces), len(self.anchored)
        for copy in element:
            self.read(copy, marks)
            if (len(self._pieces), len(self.anchored)) != before:
                return


def equation(element: Element) -> str:
    """Return an equation's symbols in one line; fractions, powers and indices get a sign between."""
    joint = _EQUATION_JOINTS.get(element.tag, "")
    if element.tag == f"{M}t":
        return element.text or ""
    return joint.join(filter(None, (equation(child) for child in element)))


def _anchored(drawing: Element, whole: str = "") -> Iterator[Anchored]:
    """Yield what a drawing shows; a picture without words of its own has those of the `whole`."""
    alt = whole
    stack = [drawing]
    while stack:
        element = stack.pop()
        tag = element.tag
        name = local(tag)
        if name == "docPr":
            whole = alt = alt_of(element) or whole
        elif name == "cNvPr":
            alt = alt_of(element) or whole
        elif name == "shape":
            alt = element.get("alt") or alt
        if name == "txbxContent":
            yield Anchored("box", box=element)
            continue
        if tag == f"{MC}AlternateContent":
            yield from next(filter(None, (list(_anchored(copy, alt)) for copy in element)), ())
            continue
        if tag == f"{A}blip":
            yield Anchored("picture", element.get(f"{R}embed", "") or element.get(f"{R}link", ""), alt)
        elif name == "imagedata" and (embedded := element.get(f"{R}id", "")):
            yield Anchored("picture", embedded, alt)
        elif name == "chart" and element.get(f"{R}id"):
            yield Anchored("chart", element.get(f"{R}id", ""), alt)
        elif tag == f"{DGM}relIds":
            yield Anchored("diagram", element.get(f"{R}dm", ""), alt)
        elif name == "OLEObject":
            yield Anchored("object", element.get("ProgID", "unknown"))
        elif name == "textpath":
            yield Anchored("words", element.get("string", ""))
        stack.extend(reversed(element))
