"""The pictures that bench_index.py draws with matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from dense.tables import median, short

_LOOKS = {"exact": ("#d55e00", "-"), "auto": ("#0072b2", "-"), "ivf-pq": ("#009e73", "--")}
_PANELS = (
    ("build", "cpu_s", "build, CPU seconds"),
    ("build", "bytes_an_item", "bytes an item on disk"),
    ("search", "p50_ms", "one query, p50 ms"),
    ("search", "p99_ms", "one query, p99 ms"),
    ("search", "open_s", "open, seconds"),
    ("search", "rss_used_mb", "resident MB after 1,000 queries"),
)


def scale(place: Mapping[str, Any], picture: Path) -> None:
    """Draw the cost curve: six panels over the number of items, which is on a logarithmic axis."""
    figure, axes = _figure(2, 3, (11, 6.4))
    sizes = sorted(int(items) for items in place)
    kinds = sorted({kind for one in place.values() for kind in one}, key=list(_LOOKS).index)
    for panel, (stage, fact, label) in zip(axes.flat, _PANELS, strict=True):
        for kind in kinds:
            points = [
                (items, place[str(items)][kind][stage][fact])
                for items in sizes
                if "search" in place[str(items)].get(kind, {})
            ]
            colour, line = _LOOKS[kind]
            panel.plot(*zip(*points, strict=True), line, marker="o", color=colour, label=kind)
        panel.set_xscale("log")
        panel.set_xticks(sizes, [_size(items) for items in sizes])
        panel.set_xlabel("items")
        if fact == "bytes_an_item":
            panel.set_ylim(bottom=0)
        else:
            _logarithmic(panel)
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_title(label, loc="left")
        panel.grid(which="major", alpha=0.3)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper right", ncols=3, frameon=False)
    _save(figure, picture)


def compare(place: Mapping[str, Any], items: int, picture: Path) -> None:
    """Draw speed, latency and memory of each engine."""
    done = {name: one for name, one in place.items() if one.get("rounds")}
    names = sorted(done, key=lambda name: median(done[name], "queries_a_cpu_s"))
    panels = (
        ("queries_a_cpu_s", "queries a CPU-second, batches of 1,000"),
        ("p50_ms", "one query, p50 ms"),
        ("rss_used_mb", "resident MB after 1,000 queries"),
    )
    figure, axes = _figure(1, 3, (12, 0.6 + 0.45 * len(names)))
    for panel, (fact, label) in zip(axes, panels, strict=True):
        values = [median(done[name], fact) for name in names]
        colours = ["#0072b2" if name == "mmrag" else "#777777" for name in names]
        labels = [f"{name} ({median(done[name], 'recall'):.3f})" for name in names]
        panel.scatter(values, labels, color=colours)
        for height, value in enumerate(values):
            panel.annotate(short(value), (value, height), (6, 0), textcoords="offset points", va="center")
        panel.set_xscale("log")
        panel.set_xlim(min(values) / 2, max(values) * 4)
        panel.margins(y=0.1)
        panel.grid(which="major", axis="x", alpha=0.3)
        panel.set_title(label, loc="left")
        if panel is not axes[0]:
            panel.set_yticklabels([])
    figure.suptitle(f"{items:,} items; recall@10 in brackets", x=0.01, ha="left")
    _save(figure, picture)


def _logarithmic(panel: Axes) -> None:
    """Make the vertical axis logarithmic, with ticks at 1, 2 and 5 of each decade as plain numbers."""
    panel.set_yscale("log")
    low, high = panel.get_ylim()
    panel.set_ylim(low / 1.5, high * 1.5)
    panel.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 50 else (1.0, 2.0, 5.0)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
    panel.yaxis.set_minor_locator(NullLocator())


def _size(items: int) -> str:
    return f"{items / 1e6:g}M" if items >= 1_000_000 else f"{items / 1e3:g}k"


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, Any]:
    matplotlib.use("agg")
    # Text stays text, and the same figures give the same file.
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "mmrag", "font.size": 10}
    return pyplot.subplots(rows, columns, figsize=size, layout="constrained")


def _save(figure: Figure, picture: Path) -> None:
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, facecolor="white", metadata={"Date": None} if picture.suffix == ".svg" else None)
    print(f"Drew {picture}.")
