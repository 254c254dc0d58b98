"""Draws wiring-diagram.png, the sheet that is glued inside the terminal cover."""

from __future__ import annotations

from PIL import Image

from example_corpus.facts import TERMINALS
from example_corpus.sketch import GREY, INK, PALE, TEAL, Sketch

COLOURS = {
    "brown": "#7b4a21", "blue": "#2463c8", "green-yellow": "#7aa514", "red": "#cc2b2b", "black": "#222222",
    "yellow": "#d9b400", "green": "#2f8f3f", "white": "#aeb6b9", "violet": "#7d3fa8", "orange": "#e07b16",
    "grey": "#7d868a", "pink": "#e07fa6",
}  # fmt: skip

DEVICES = (
    # name, second line, first and last terminal of TERMINALS
    ("Mains 230 V AC", "fuse 6 A", 0, 2),
    ("Room control", "shielded cable, up to 50 m", 3, 6),
    ("Boost push button", "bathroom, normally open", 7, 8),
    ("CO2 sensor", "0 to 10 V", 9, 10),
    ("Pressure monitor", "stove interlock", 11, 12),
    ("Alarm lamp", "relay rated 24 V, 1 A", 13, 14),
)

NOTES = (
    "1. The alarm relay closes when a fault is shown and may carry no more than 1 A at 24 V.",
    "2. Remove the wire link between 9 and 10 only when a pressure monitor is connected.",
    "3. The sensor cable must not be longer than 20 m.",
    "4. Connect the shield of the room control cable to PE inside the unit only.",
)


def build() -> Image.Image:
    """Draw the diagram."""
    s = Sketch(1600, 1240, scale=2)
    s.box((16, 16), (1568, 1208), None, INK)
    s.words((50, 62), "Larkwind 150  Wiring diagram", 36, TEAL, bold=True)
    s.words((1550, 62), "Drawing WD-150, revision D", 24, GREY, anchor="rm")
    s.line([(16, 105), (1584, 105)], INK, 2)
    s.box((60, 140), (250, 780), PALE, TEAL, radius=10)
    s.words((80, 170), "Unit", 24, TEAL, bold=True)
    ys = _heights()
    for (name, _, _), y in zip(TERMINALS, ys, strict=True):
        s.box((190, y - 17), (120, 34), "white", INK)
        s.words((250, y), name, 23, anchor="mm", bold=True)
    for title, detail, first, last in DEVICES:
        top, bottom = ys[first] - 22, ys[last] + 22
        s.box((860, top), (330, bottom - top), "#fbf6ee", INK, radius=8)
        middle = (top + bottom) / 2
        s.words((905, middle - 15), title, 24, bold=True)
        s.words((905, middle + 16), detail, 20, GREY)
    for (_, colour, _), y in zip(TERMINALS, ys, strict=True):
        s.line([(310, y), (860, y)], COLOURS[colour], 6)
        if colour == "green-yellow":
            s.line([(310, y), (860, y)], "#e8dc3a", 6, dashed=True)
        s.dot((310, y), 6, INK)
        s.dot((860, y), 6, INK)
        s.box((490, y - 15), (170, 30), "white", None)
        s.words((575, y), colour, 21, anchor="mm")
    link = ys[11], ys[12]
    s.line([(310, link[0]), (370, link[0] + 8), (370, link[1] - 8), (310, link[1])], INK, 3, dashed=True)
    s.words((382, sum(link) / 2), "link", 19, GREY)
    _legend(s)
    s.line([(16, 935), (1584, 935)], INK, 2)
    s.words((50, 968), "Notes", 25, TEAL, bold=True)
    for n, note in enumerate(NOTES):
        s.words((50, 1012 + n * 40), note, 24)
    s.line([(1180, 1172), (1584, 1172)], INK, 1)
    s.words((50, 1198), "Tarnholt Ventilation, Eastbeck", 20, GREY)
    s.words((1550, 1198), "Drawn H. Brandt, 14 Jan 2026", 20, GREY, anchor="rm")
    return s.finish()


def _heights() -> list[float]:
    """Give each terminal its height; a gap separates the devices."""
    ys, y = [], 200.0
    ends = {last for _, _, _, last in DEVICES}
    for n in range(len(TERMINALS)):
        ys.append(y)
        y += 62 if n in ends else 42
    return ys


def _legend(s: Sketch) -> None:
    s.box((1230, 140), (320, 620), "white", GREY, radius=8)
    s.words((1255, 172), "Wire colours", 24, TEAL, bold=True)
    for n, (name, colour) in enumerate(COLOURS.items()):
        y = 220 + n * 40
        s.line([(1255, y), (1325, y)], colour, 8)
        if name == "green-yellow":
            s.line([(1255, y), (1325, y)], "#e8dc3a", 8, dashed=True)
        s.words((1345, y), name, 22)
    s.line([(1255, 712), (1325, 712)], INK, 3, dashed=True)
    s.words((1345, 712), "fitted link", 22)
