"""What a Word document's styles and numberings make of a paragraph."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from mmrag.corpus.readers.office.package import W, number

_HEADING = re.compile(
    r"(?:heading|.{0,2}berschrift|titre|t.?tulo|titolo|kop|rubrik|overskrift|otsikko|nag..wek|заголовок|"
    r"标题|標題|見出し|제목)\s?([1-9])$",
    re.IGNORECASE,
)
"""The built-in style has its English name in every Word; other programs translate the name."""
_CODE = re.compile(r"(?:source|program|html|macro)?.?(?:code|preformatted|verbatim|listing)", re.IGNORECASE)
_CONTENTS = re.compile(r"toc \d|contents \d|table of figures|table of authorities|index \d", re.IGNORECASE)
_CAPTION = re.compile(r"(?:caption|image caption|table caption|figure|beschriftung|l.gende)$", re.IGNORECASE)
_MAX_DEPTH = 20
_BODY_TEXT = 9
_TENS = ((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))
_HUNDREDS = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"))


@dataclass(frozen=True, slots=True)
class Style:
    """What a paragraph is: a heading of a level (0: none), a list's item, code, a caption, contents.

    `list_id` and `list_level` are its numbering's; an id of '' is no list.
    """

    name: str = ""
    level: int = 0
    list_id: str = ""
    list_level: int = 0

    @property
    def is_title(self) -> bool:
        """Whether it is the title of the whole document."""
        return self.name.lower() == "title"

    @property
    def is_code(self) -> bool:
        """Whether spaces and line ends matter."""
        return _CODE.match(self.name) is not None

    @property
    def is_caption(self) -> bool:
        """Whether it says what a figure or table is."""
        return _CAPTION.match(self.name) is not None

    @property
    def is_contents(self) -> bool:
        """Whether it only repeats headings, with their pages."""
        return _CONTENTS.match(self.name) is not None


class Styles:
    """The paragraph styles by id; `root` is None for a document without any."""

    def __init__(self, root: Element | None) -> None:
        self._elements: dict[str, Element] = {}
        self._known: dict[str, Style] = {}
        for element in root.iter(f"{W}style") if root is not None else ():
            if element.get(f"{W}type", "paragraph") == "paragraph":
                self._elements[element.get(f"{W}styleId", "")] = element

    def of(self, paragraph: Element) -> Style:
        """Return what a paragraph is, by its own properties before those of its style."""
        own = paragraph.find(f"{W}pPr")
        if own is None:
            return Style()
        style = self._named(_value(own.find(f"{W}pStyle")))
        outline, numbering = own.find(f"{W}outlineLvl"), own.find(f"{W}numPr")
        if outline is None and numbering is None:
            return style
        level = _level(outline) if outline is not None else style.level
        list_id, list_level = style.list_id, style.list_level
        if numbering is not None:
            given = _value(numbering.find(f"{W}numId"))
            list_id = "" if given == "0" else given or list_id
            depth = numbering.find(f"{W}ilvl")
            list_level = number(depth, f"{W}val") if depth is not None else list_level
        return Style(style.name, level, list_id, list_level)

    def _named(self, name: str) -> Style:
        if name not in self._known:
            self._known[name] = self._resolved(name)
        return self._known[name]

    def _resolved(self, name: str) -> Style:
        """Follow a style to the ones it is based on until one says what it is."""
        said = ""
        level: int | None = None
        list_id, list_level = "", 0
        at = name
        for _ in range(_MAX_DEPTH):
            element = self._elements.get(at)
            title = _value(element.find(f"{W}name")) if element is not None else at
            said = said if _says_something(said) else title or said
            outline = element.find(f"{W}pPr/{W}outlineLvl") if element is not None else None
            if level is None and outline is not None:
                level = _level(outline)
            elif level is None and (heading := _HEADING.match(title)):
                level = int(heading.group(1))
            elif level is None and title.lower() == "title":
                level = 1
            if element is None:
                break
            numbering = element.find(f"{W}pPr/{W}numPr")
            if numbering is not None and not list_id:
                list_id = _value(numbering.find(f"{W}numId"))
                list_level = number(numbering.find(f"{W}ilvl"), f"{W}val")
            at = _value(element.find(f"{W}basedOn"))
            if not at:
                break
        return Style(said, level or 0, "" if list_id == "0" else list_id, list_level)


@dataclass(slots=True)
class _Level:
    kind: str
    text: str
    start: int


@dataclass(slots=True)
class _List:
    """A numbering that paragraphs refer to: where it counts, its levels, and those that it restarts."""

    counter: str
    levels: dict[int, _Level]
    restarts: dict[int, int] = field(default_factory=dict)
    is_used: bool = False


class Numbering:
    """Counts the items of a document's lists as Word shows them."""

    def __init__(self, root: Element | None) -> None:
        self._lists: dict[str, _List] = {}
        self._counts: dict[str, dict[int, int]] = {}
        if root is None:
            return
        abstract: dict[str, dict[int, _Level]] = {}
        by_style: dict[str, str] = {}
        links: dict[str, str] = {}
        for element in root.iter(f"{W}abstractNum"):
            ident = element.get(f"{W}abstractNumId", "")
            abstract[ident] = dict(_levels(element))
            by_style[_value(element.find(f"{W}styleLink"))] = ident
            links[ident] = _value(element.find(f"{W}numStyleLink"))
        for element in root.iter(f"{W}num"):
            ident = _value(element.find(f"{W}abstractNumId"))
            ident = by_style.get(links.get(ident, ""), ident) if not abstract.get(ident) else ident
            made = _List(ident, dict(abstract.get(ident, {})))
            for override in element.iter(f"{W}lvlOverride"):
                made.levels.update(_levels(override))
                if (start := override.find(f"{W}startOverride")) is not None:
                    made.restarts[number(override, f"{W}ilvl")] = number(start, f"{W}val", 1)
            self._lists[element.get(f"{W}numId", "")] = made

    def label(self, list_id: str, level: int) -> str:
        """Count one more item and return what stands before it: '2.1.', 'b)', '-' for bullets."""
        found = self._lists.get(list_id)
        if found is None or level not in found.levels:
            return "-"
        counts = self._counts.setdefault(found.counter, {})
        if not found.is_used:
            found.is_used = True
            counts.update({at: start - 1 for at, start in found.restarts.items()})
        shape = found.levels[level]
        counts[level] = counts.get(level, shape.start - 1) + 1
        for deeper in [at for at in counts if at > level]:
            del counts[deeper]
        if shape.kind == "bullet":
            return "-"

        def shown(match: re.Match[str]) -> str:
            at = int(match.group(1)) - 1
            other = found.levels.get(at, shape)
            return _written(counts.get(at, other.start), other.kind)

        return re.sub(r"%([1-9])", shown, shape.text).strip()


def _levels(element: Element) -> list[tuple[int, _Level]]:
    return [
        (
            number(level, f"{W}ilvl"),
            _Level(
                _value(level.find(f"{W}numFmt")) or "decimal",
                _value(level.find(f"{W}lvlText")),
                number(level.find(f"{W}start"), f"{W}val", 1),
            ),
        )
        for level in element.iter(f"{W}lvl")
    ]


def _written(count: int, kind: str) -> str:
    """Write a number as a list's format does; scripts other than these are counted in digits."""
    if kind == "none":
        return ""
    if kind == "decimalZero":
        return f"{count:02}"
    written = str(count)
    if kind.endswith("Letter") and 0 < count <= 26 * 30:
        written = "abcdefghijklmnopqrstuvwxyz"[(count - 1) % 26] * ((count - 1) // 26 + 1)
    elif kind.endswith("Roman") and 0 < count < 4000:
        written = _roman(count)
    return written.upper() if kind.startswith("upper") else written


def _roman(count: int) -> str:
    written = ""
    for value, letters in (*_HUNDREDS, *_TENS):
        written += letters * (count // value)
        count %= value
    return written


def _says_something(name: str) -> bool:
    return any(pattern.match(name) for pattern in (_CODE, _CONTENTS, _CAPTION)) or name.lower() == "title"


def _level(outline: Element) -> int:
    level = number(outline, f"{W}val", _BODY_TEXT)
    return level + 1 if 0 <= level < _BODY_TEXT else 0


def _value(element: Element | None) -> str:
    return "" if element is None else element.get(f"{W}val", "")
