"""Charts and diagrams of Office documents: the values that the drawing shows, and its words."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from xml.etree.ElementTree import Element

from mmrag.core.reading import Block
from mmrag.corpus.readers.flow import table_block, text_block
from mmrag.corpus.readers.office.package import DGM, C, local, number
from mmrag.corpus.readers.office.sheet_numbers import shown

_CHART_KINDS = {
    "barChart": "bar chart",
    "bar3DChart": "bar chart",
    "lineChart": "line chart",
    "line3DChart": "line chart",
    "pieChart": "pie chart",
    "pie3DChart": "pie chart",
    "ofPieChart": "pie chart",
    "doughnutChart": "doughnut chart",
    "areaChart": "area chart",
    "area3DChart": "area chart",
    "scatterChart": "scatter chart",
    "bubbleChart": "bubble chart",
    "radarChart": "radar chart",
    "stockChart": "stock chart",
    "surfaceChart": "surface chart",
    "surface3DChart": "surface chart",
}
_MAX_POINTS = 10_000
_TEXT = ("t", "br", "p")


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart in words: what it is, and its values as rows under a header."""

    caption: str
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class _Series:
    name: str
    keys: dict[int, str]
    values: dict[int, str]
    sizes: dict[int, str]
    is_xy: bool


def read_chart(root: Element) -> Chart:
    """Return a chart with the values that were cached when it was last drawn."""
    if local(root.tag) == "chartSpace" and root.tag != f"{C}chartSpace":
        return _read_extended(root)
    kinds = [_CHART_KINDS[local(e.tag)] for e in root.iter() if local(e.tag) in _CHART_KINDS]
    axes = [
        title
        for axis in root.iter()
        if axis.tag in (f"{C}catAx", f"{C}valAx", f"{C}dateAx", f"{C}serAx") and (title := _title(axis))
    ]
    chart = root.find(f"{C}chart")
    series = [
        _Series(
            " ".join(_points(one.find(f"{C}tx")).values()) or _words(one.find(f"{C}tx")),
            _points(_first(one, "cat", "xVal")),
            _points(_first(one, "val", "yVal")),
            _points(one.find(f"{C}bubbleSize")),
            one.find(f"{C}xVal") is not None,
        )
        for one in root.iter(f"{C}ser")
    ]
    return Chart(_caption(kinds, _title(chart), axes), tuple(_rows(series)))


def chart_blocks(root: Element, alt: str) -> Iterator[Block]:
    """Yield a chart's caption with its alternative text, and its values as a table."""
    chart = read_chart(root)
    yield text_block("paragraph", "\n".join(filter(None, (chart.caption, " ".join(alt.split())))))
    if (table := table_block(chart.rows)) is not None:
        yield table


def diagram_lines(root: Element) -> list[str]:
    """Return the words of a SmartArt, a line a node, indented under the node it belongs to."""
    texts: dict[str, str] = {}
    for point in root.iter(f"{DGM}pt"):
        if point.get("type", "node") in ("node", "asst") and (words := _words(point.find(f"{DGM}t"))):
            texts[point.get("modelId", "")] = words
    above = {
        link.get("destId", ""): link.get("srcId", "")
        for link in root.iter(f"{DGM}cxn")
        if link.get("type", "parOf") == "parOf"
    }
    return [f"{'  ' * _depth(ident, above, texts)}- {words}" for ident, words in texts.items()]


def _depth(ident: str, above: dict[str, str], texts: dict[str, str]) -> int:
    depth = 0
    while (ident := above.get(ident, "")) in texts and depth < 9:
        depth += 1
    return depth


def _read_extended(root: Element) -> Chart:
    """Read the charts of Office 2016: waterfall, funnel, treemap, map ..."""
    kinds = [e.get("layoutId", "") for e in root.iter() if local(e.tag) == "series"]
    titles = [_words(e) for e in root.iter() if local(e.tag) == "title"]
    columns: list[dict[int, str]] = []
    for data in (e for e in root.iter() if local(e.tag) in ("strDim", "numDim")):
        for level in (e for e in data if local(e.tag) == "lvl"):
            points = islice((e for e in level if local(e.tag) == "pt"), _MAX_POINTS)
            columns.append({number(e, "idx"): e.text or "" for e in points})
    rows = sorted({i for column in columns for i in column})
    table = [tuple(column.get(i, "") for column in columns) for i in rows]
    header = tuple("value" if i else "category" for i in range(len(columns)))
    return Chart(_caption(kinds, " ".join(titles[:1]), titles[1:]), (header, *table) if table else ())


def _caption(kinds: list[str], title: str, axes: list[str]) -> str:
    kind = " and ".join(dict.fromkeys(filter(None, kinds))) or "chart"
    said = f"{kind[0].upper()}{kind[1:]}{': ' if title else ''}{title}"
    return f"{said} (axes: {', '.join(axes)})" if axes else said


def _rows(series: list[_Series]) -> Iterator[tuple[str, ...]]:
    """Yield a row a category, a column a series; series with their own x values follow one another."""
    shared = [one for one in series if one.values]
    if not shared:
        return
    is_xy = any(one.is_xy for one in shared)
    has_sizes = any(one.sizes for one in shared)
    if not has_sizes and all(one.keys in (shared[0].keys, {}) for one in shared):
        yield ("x" if is_xy else "category", *(one.name or f"series {i}" for i, one in enumerate(shared, 1)))
        for i in sorted({i for one in shared for i in (*one.keys, *one.values)}):
            yield (shared[0].keys.get(i, str(i + 1)), *(one.values.get(i, "") for one in shared))
        return
    yield ("series", "x", "y", *(["size"] if has_sizes else []))
    for n, one in enumerate(shared, 1):
        for i in sorted(one.values):
            row = (one.name or f"series {n}", one.keys.get(i, str(i + 1)), one.values[i])
            yield (*row, one.sizes.get(i, "")) if has_sizes else row


def _points(element: Element | None) -> dict[int, str]:
    """Return the cached values of a series by position; categories of several levels are joined."""
    if element is None:
        return {}
    levels = list(element.iter(f"{C}lvl"))
    if levels:
        inner, *outer = [_cached(level) for level in levels]
        above = [(sorted(level), level) for level in outer]
        return {
            i: " ".join([*(_at(i, *level) for level in reversed(above)), word]) for i, word in inner.items()
        }
    found = _cached(element)
    pattern = element.findtext(f".//{C}formatCode") or ""
    return {i: _shown(word, pattern) for i, word in found.items()}


def _cached(element: Element) -> dict[int, str]:
    points = islice(element.iter(f"{C}pt"), _MAX_POINTS)
    return {number(pt, "idx"): " ".join((pt.findtext(f"{C}v") or "").split()) for pt in points}


def _at(position: int, starts: list[int], level: dict[int, str]) -> str:
    """Return the word of an outer level, which is written once for all the positions that it spans."""
    return level[starts[max(bisect_right(starts, position) - 1, 0)]] if starts else ""


def _shown(word: str, pattern: str) -> str:
    try:
        return shown(float(word), pattern)
    except ValueError:
        return word


def _title(element: Element | None) -> str:
    return "" if element is None else _words(element.find(f"{C}title"))


def _first(element: Element, *names: str) -> Element | None:
    return next((e for name in names if (e := element.find(f"{C}{name}")) is not None), None)


def _words(element: Element | None) -> str:
    """Return the words of a rich text, or of a cached reference to a cell."""
    if element is None:
        return ""
    pieces = [e.text or "" if local(e.tag) == "t" else " " for e in element.iter() if local(e.tag) in _TEXT]
    return " ".join("".join(pieces).split()) or " ".join(e.text or "" for e in element.iter(f"{C}v")).strip()
