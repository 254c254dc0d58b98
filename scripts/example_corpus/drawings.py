"""The line drawings: figures of the manual, the data sheet, the quick start and the support page."""

from __future__ import annotations

import itertools

from PIL import Image

from example_corpus.sketch import BLUE, GREY, INK, LIGHT, ORANGE, PALE, TEAL, Sketch


def cutaway() -> Image.Image:
    """Draw Figure 1 of the manual: the inside of the unit with its parts lettered."""
    s = Sketch(1280, 800)
    s.box((120, 150), (580, 600), PALE, TEAL, radius=18)
    s.box((140, 170), (540, 560), "white", LIGHT, radius=10)
    for x, label, colour in (
        (165, "Extract", ORANGE), (285, "Supply", ORANGE), (465, "Exhaust", BLUE), (585, "Outdoor", BLUE),
    ):  # fmt: skip
        s.box((x, 104), (72, 48), LIGHT, TEAL)
        s.words((x + 36, 32), label, 21, anchor="mm")
        ends = ((x + 36, 50), (x + 36, 98))
        s.arrow(ends if label in ("Extract", "Outdoor") else ends[::-1], colour, 6, 20)
    centre = (410, 420)
    half = (150, 130)
    s.shape(
        [
            (centre[0] - half[0], centre[1]), (centre[0] - 60, centre[1] - half[1]),
            (centre[0] + 60, centre[1] - half[1]), (centre[0] + half[0], centre[1]),
            (centre[0] + 60, centre[1] + half[1]), (centre[0] - 60, centre[1] + half[1]),
        ],
        "#dfe7e9", TEAL,
    )  # fmt: skip
    for n in range(-9, 10):
        x = centre[0] + n * 13
        reach = half[1] if abs(n * 13) <= 60 else half[1] * (half[0] - abs(n * 13)) / (half[0] - 60)
        s.line([(x, centre[1] - reach + 8), (x, centre[1] + reach - 8)], LIGHT, 2)
    s.line([(201, 160), (201, 300), (300, 360), (520, 480), (600, 560)], ORANGE, 5)
    s.arrow([(600, 560), (600, 640), (501, 640), (501, 560)], ORANGE, 5, 18)
    s.line([(621, 160), (621, 300), (520, 360), (300, 480), (230, 560)], BLUE, 5)
    s.arrow([(230, 560), (230, 640), (320, 640), (320, 560)], BLUE, 5, 18)
    s.box((160, 258), (86, 22), "#b9d7a8", INK)
    s.box((580, 258), (86, 22), "#b9d7a8", INK)
    for x in (320, 501):
        s.dot((x, 612), 46, "white", INK)
        s.dot((x, 612), 12, INK)
        for dx, dy in ((0, -30), (26, 15), (-26, 15)):
            s.line([(x, 612), (x + dx, 612 + dy)], INK, 7)
    s.box((382, 190), (58, 64), "#f3d9c4", INK)
    s.line([(386, 250), (436, 194)], INK, 4)
    s.shape(
        [(200, 690), (620, 690), (600, 716), (430, 716), (430, 748), (400, 748), (400, 716), (220, 716)],
        "#bcd3dd",
    )
    s.badge((60, 269), "A", (170, 269))
    s.badge((60, 612), "C", (290, 612))
    s.badge((60, 430), "E", (275, 430))
    s.badge((60, 706), "G", (225, 706))
    s.badge((760, 269), "B", (650, 269))
    s.badge((760, 612), "D", (530, 612))
    s.badge((760, 200), "F", (425, 215))
    s.badge((760, 706), "H", (600, 716 - 8))
    legend = (
        ("A", "Extract filter"), ("B", "Supply filter"), ("C", "Supply fan"), ("D", "Extract fan"),
        ("E", "Heat exchanger"), ("F", "Bypass damper"), ("G", "Condensate tray"), ("H", "Level float"),
    )  # fmt: skip
    s.words((850, 180), "Legend", 27, TEAL, bold=True)
    for n, (letter, name) in enumerate(legend):
        y = 240 + n * 56
        s.words((860, y), f"{letter}  {name}", 26)
    s.line([(855, 706), (915, 706)], ORANGE, 6)
    s.words((930, 706), "used air from the rooms", 22)
    s.line([(855, 746), (915, 746)], BLUE, 6)
    s.words((930, 746), "fresh air from outdoors", 22)
    return s.finish()


def terminal_compartment() -> Image.Image:
    """Draw Figure 2 of the manual: where cables enter and how far they stay apart."""
    s = Sketch(1280, 640)
    s.box((60, 60), (1160, 470), PALE, TEAL, radius=14)
    s.box((140, 170), (270, 100), "#dcdcdc", INK)
    for n, name in enumerate(("L", "N", "PE")):
        x = 185 + n * 90
        s.dot((x, 220), 20, "white", INK)
        s.words((x, 150), name, 24, anchor="mm", bold=True)
        s.line([(x, 240), (x, 330), (275, 400)], ("#7b4a21", BLUE, "#3f8f3a")[n], 6)
    s.box((560, 170), (600, 100), "#dcdcdc", INK)
    for n in range(12):
        x = 590 + n * 49
        s.dot((x, 220), 17, "white", INK)
        s.words((x, 150), str(n + 1), 22, anchor="mm", bold=True)
        target = 720 if n < 4 else 1000
        s.line([(x, 238), (x, 310), (target, 400)], GREY, 3)
    for x in (275, 720, 1000):
        s.line([(x, 396), (x, 605)], "#3b4449", 16)
    s.words((140, 100), "X1  Mains", 24, TEAL, bold=True)
    s.words((560, 100), "X2  Room control and sensors", 24, TEAL, bold=True)
    for x, label in ((275, "Gland M20"), (720, "Gland M16"), (1000, "Gland M16")):
        s.box((x - 44, 505), (88, 52), LIGHT, INK, radius=6)
        s.words((x + 58, 585), label, 24)
    s.measure((330, 440), (660, 440), "at least 100 mm", size=24)
    s.words((470, 350), "Strip 8 mm", 24, anchor="mm")
    s.words((470, 382), "of each core", 24, anchor="mm")
    return s.finish()


def outline_300() -> Image.Image:
    """Draw Figure 1 of the data sheet: front and side of the larger unit."""
    s = Sketch(1280, 700)
    for x, width in ((230, 290), (800, 190)):
        s.box((x, 130), (width, 346), PALE, TEAL, radius=8)
        s.box((x + 14, 476), (20, 124), LIGHT, INK)
        s.box((x + width - 34, 476), (20, 124), LIGHT, INK)
        s.line([(x - 60, 600), (x + width + 60, 600)], INK, 3)
    for n in range(4):
        s.box((252 + n * 66, 84), (50, 46), LIGHT, INK)
    s.box((830, 84), (50, 46), LIGHT, INK)
    s.box((910, 84), (50, 46), LIGHT, INK)
    s.words((375, 300), "Larkwind 300", 28, TEAL, anchor="mm", bold=True)
    s.measure((230, 640), (520, 640), "700", size=25)
    s.measure((800, 640), (990, 640), "455", size=25)
    s.measure((180, 130), (180, 476), "835", size=25, away=20)
    s.measure((180, 476), (180, 600), "300", size=25, away=20)
    s.measure((277, 66), (343, 66), "165", size=25, away=22)
    s.box((365, 476), (30, 34), LIGHT, INK)
    s.measure((450, 512), (450, 600), "245", size=25, away=18)
    s.words((375, 540), "Drain", 22, anchor="mm")
    s.words((375, 680), "Front view", 24, GREY, anchor="mm")
    s.words((895, 680), "Side view", 24, GREY, anchor="mm")
    return s.finish()


def filter_change() -> Image.Image:
    """Draw the quick start's picture of the open door and the two filter slots."""
    s = Sketch(1100, 640)
    s.box((330, 60), (400, 520), PALE, TEAL, radius=12)
    s.shape([(330, 60), (210, 110), (210, 550), (330, 580)], "#d5e2e5", TEAL)
    s.words((530, 110), "Larkwind 150", 24, TEAL, anchor="mm", bold=True)
    for y, name, note in (
        (180, "Supply filter", "upper slot, green tab"),
        (400, "Extract filter", "lower slot, grey tab"),
    ):
        s.box((380, y), (250, 70), "white", INK)
        s.box((630, y + 20), (42, 30), "#5f9e56" if "green" in note else GREY, INK)
        s.arrow([(690, y + 35), (800, y + 35)], ORANGE, 7, 24)
        s.words((820, y + 22), name, 25, bold=True)
        s.words((820, y + 54), note, 22, GREY)
        s.arrow([(600, y + 35), (420, y + 35)], TEAL, 4, 16)
    s.words((380, 295), "The arrow on the frame points", 21)
    s.words((380, 325), "towards the exchanger", 21)
    s.words((60, 330), "Front door", 23)
    return s.finish()


def wall_bracket() -> Image.Image:
    """Draw the quick start's drilling plan."""
    s = Sketch(1100, 620)
    s.line([(80, 50), (1020, 50)], INK, 4)
    s.words((90, 28), "Ceiling", 22, GREY)
    s.line([(80, 570), (1020, 570)], INK, 4)
    s.words((90, 595), "Finished floor", 22, GREY)
    s.box((330, 170), (440, 44), LIGHT, TEAL, radius=4)
    holes = [370, 490, 610, 730]
    for x in holes:
        s.dot((x, 192), 9, "white", INK)
    for a, b in itertools.pairwise(holes):
        s.measure((a, 250), (b, 250), "140", size=24, away=18)
    s.measure((330, 132), (770, 132), "bracket 500", size=24, away=18)
    s.measure((850, 52), (850, 170), "")
    s.words((868, 111), "at least 380", 24)
    s.measure((230, 172), (230, 568), "1750", size=24, away=20)
    s.line([(770, 170), (880, 170)], GREY, 1.4, dashed=True)
    s.line([(330, 170), (200, 170)], GREY, 1.4, dashed=True)
    s.words((550, 330), "Drill 10 mm, 65 mm deep", 26, anchor="mm", bold=True)
    s.words((550, 372), "All dimensions in millimetres", 22, GREY, anchor="mm")
    return s.finish()


def control_panel() -> Image.Image:
    """Draw the room control with its keys and lamps named."""
    s = Sketch(1280, 760)
    s.box((400, 60), (400, 620), "#f7f7f5", INK, radius=34)
    s.box((435, 100), (300, 210), "#20343c", INK, radius=8)
    s.words((460, 145), "Normal", 30, "white")
    s.words((715, 145), "21:04", 26, "white", anchor="rm")
    s.words((460, 210), "CO2   640 ppm", 25, "#a9d6df")
    s.words((460, 262), "Filters   112 days", 25, "#a9d6df")
    for y, colour, meaning in (
        (135, "#4aa564", "Green lamp: unit is running"),
        (205, "#e0a526", "Amber lamp: change the filters"),
        (275, "#c6402f", "Red lamp: fault, see code"),
    ):
        s.line([(765, y), (825, y)], GREY, 1.6)
        s.dot((765, y), 10, colour, GREY)
        s.words((838, y), meaning, 23)
    for (x, y), name, note in (
        ((500, 400), "Mode", "Mode: next mode"),
        ((500, 500), "Menu", "Menu: hold 2 s to go back"),
        ((700, 400), "Up", "Up: raise a value"),
        ((700, 500), "Down", "Down: hold 4 s to lock"),
        ((600, 600), "Away", "Away: hold 6 s to stop"),
    ):
        s.dot((x, y), 42, "white", GREY)
        s.words((x, y), name, 21, anchor="mm")
        if x < 600:
            s.line([(x - 42, y), (380, y)], GREY, 1.6)
            s.words((368, y), note, 23, anchor="rm")
        else:
            s.line([(x + 42, y), (825, y)], GREY, 1.6)
            s.words((838, y), note, 23)
    s.words((600, 720), "Room control, front", 22, GREY, anchor="mm")
    return s.finish()
