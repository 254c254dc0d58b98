"""The shapes of a slide: where each stands, also when only its layout says so, and their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from mmrag.core.types import Box
from mmrag.corpus.readers.office.package import MC, A, P, alt_of, local, number

_TITLES = ("title", "ctrTitle")
_FRAMES = ("dt", "sldNum", "ftr", "hdr")
_SAME_ROW = 0.04
"""Shapes whose tops differ by less of the slide's height stand side by side."""
_SHAPES = frozenset(f"{P}{name}" for name in ("sp", "pic", "graphicFrame", "cxnSp", "contentPart"))


@dataclass(frozen=True, slots=True)
class Transform:
    """How lengths of a group become lengths of the slide."""

    x: float = 0.0
    y: float = 0.0
    scale_x: float = 1.0
    scale_y: float = 1.0


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape with its place on the slide, as far as it is known.

    `role` is what a layout has it for: title, subTitle, body, dt, ftr, sldNum, ...; '' for free ones.
    """

    element: Element
    box: Box | None
    role: str
    alt: str

    @property
    def is_title(self) -> bool:
        """Whether it holds the slide's title."""
        return self.role in _TITLES

    @property
    def is_frame(self) -> bool:
        """Whether it repeats what stands on every slide: date, number, footer."""
        return self.role in _FRAMES


@dataclass(slots=True)
class Layout:
    """The placeholders of a layout, over those of its master: what shapes without a place inherit."""

    width: int
    height: int
    _by_index: dict[str, Element] = field(default_factory=dict)
    _by_role: dict[str, Element] = field(default_factory=dict)

    def learn(self, root: Element | None) -> None:
        """Take over a layout's or master's placeholders; the one learnt first goes before the others."""
        for element in root.iter(f"{P}sp") if root is not None else ():
            holder = _placeholder(element)
            place = element.find(f"{P}spPr/{A}xfrm")
            if holder is not None and place is not None:
                if index := holder.get("idx"):
                    self._by_index.setdefault(index, place)
                self._by_role.setdefault(_role(holder), place)

    def place_of(self, element: Element) -> Element | None:
        """Return the place of a shape, its own or the one that it inherits."""
        own = next((found for path in _PLACES if (found := element.find(path)) is not None), None)
        holder = _placeholder(element)
        if own is not None or holder is None:
            return own
        role = _role(holder)
        inherited = self._by_index.get(holder.get("idx", ""))
        if inherited is None:
            inherited = self._by_role.get({"ctrTitle": "title", "subTitle": "body"}.get(role, role))
        return inherited


_PLACES = (f"{P}spPr/{A}xfrm", f"{P}xfrm", f"{P}grpSpPr/{A}xfrm")


def shapes_of(slide: Element, layout: Layout) -> list[Shape]:
    """Return a slide's shapes in reading order: its title, then row by row from the left."""
    tree = slide.find(f"{P}cSld/{P}spTree")
    found = list(_shapes(tree, layout, Transform())) if tree is not None else []
    titles = [shape for shape in found if shape.is_title]
    return titles + in_order([shape for shape in found if not shape.is_title])


def in_order(shapes: Sequence[Shape]) -> list[Shape]:
    """Sort shapes row by row from the left; those whose place nobody knows come last."""
    placed = sorted((s for s in shapes if s.box), key=lambda s: (_top(s), _left(s)))
    rows: list[list[Shape]] = []
    for shape in placed:
        if rows and _top(shape) - _top(rows[-1][0]) < _SAME_ROW:
            rows[-1].append(shape)
        else:
            rows.append([shape])
    ordered = [shape for row in rows for shape in sorted(row, key=_left)]
    return ordered + [shape for shape in shapes if not shape.box]


def _shapes(tree: Element, layout: Layout, transform: Transform) -> Iterator[Shape]:
    for element in tree:
        if element.tag == f"{P}grpSp":
            yield from _shapes(element, layout, _inner(layout.place_of(element), transform))
        elif element.tag in _SHAPES:
            yield _shape(element, layout, transform)
        elif element.tag == f"{MC}AlternateContent":
            copies = (list(_shapes(copy, layout, transform)) for copy in element)
            yield from next((copy for copy in copies if any(map(_is_read, copy))), ())


def _is_read(shape: Shape) -> bool:
    """Whether a copy for newer programs is known here: that of ink is not, but it has another."""
    return shape.element.tag != f"{P}contentPart"


def _shape(element: Element, layout: Layout, transform: Transform) -> Shape:
    place = layout.place_of(element)
    holder = _placeholder(element)
    properties = next((e for e in element.iter() if local(e.tag) == "cNvPr"), None)
    box = _box(place, layout, transform) if place is not None else None
    return Shape(element, box, "" if holder is None else _role(holder), alt_of(properties))


def _top(shape: Shape) -> float:
    return shape.box.y0 if shape.box else 1.0


def _left(shape: Shape) -> float:
    return shape.box.x0 if shape.box else 1.0


def _placeholder(element: Element) -> Element | None:
    return next((e for part in element[:1] if (e := part.find(f"{P}nvPr/{P}ph")) is not None), None)


def _role(holder: Element) -> str:
    return holder.get("type", "body")


def _lengths(place: Element, position: str, size: str) -> tuple[int, int, int, int]:
    at, extent = place.find(f"{A}{position}"), place.find(f"{A}{size}")
    return number(at, "x"), number(at, "y"), number(extent, "cx"), number(extent, "cy")


def _box(place: Element, layout: Layout, transform: Transform) -> Box:
    x, y, width, height = _lengths(place, "off", "ext")
    left, top = transform.x + x * transform.scale_x, transform.y + y * transform.scale_y
    right, bottom = left + width * transform.scale_x, top + height * transform.scale_y
    return Box(
        _share(left, layout.width),
        _share(top, layout.height),
        _share(max(right, left), layout.width),
        _share(max(bottom, top), layout.height),
    )


def _inner(place: Element | None, outer: Transform) -> Transform:
    """Return how lengths inside of a group become lengths of the slide."""
    if place is None:
        return outer
    x, y, width, height = _lengths(place, "off", "ext")
    inner_x, inner_y, inner_width, inner_height = _lengths(place, "chOff", "chExt")
    scale_x = outer.scale_x * (width / inner_width if inner_width > 0 else 1.0)
    scale_y = outer.scale_y * (height / inner_height if inner_height > 0 else 1.0)
    return Transform(
        outer.x + x * outer.scale_x - inner_x * scale_x,
        outer.y + y * outer.scale_y - inner_y * scale_y,
        scale_x,
        scale_y,
    )


def _share(length: float, whole: int) -> float:
    return min(max(length / whole, 0.0), 1.0)
