"""Renders the two photograph-like pictures: the nameplate and the commissioning label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from example_corpus.sketch import INK, Sketch, font

Corners = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
SIZE = (1400, 1000)


def nameplate(path: Path) -> None:
    """Write the picture of a nameplate, riveted to a housing and seen at a slight angle."""
    s = Sketch(1100, 660, background="#d3d6d8", scale=2)
    s.box((14, 14), (1072, 632), None, "#59636a", radius=22)
    s.words((90, 84), "TARNHOLT VENTILATION", 38, INK, bold=True)
    s.words((1010, 84), "Eastbeck", 28, INK, anchor="rm")
    s.line([(60, 128), (1040, 128)], INK, 2.5)
    rows = (
        ("Model", "Larkwind 150"),
        ("Type", "LW150-R"),
        ("Serial no.", "LW150-2418037"),
        ("Supply", "230 V ~ 50 Hz"),
        ("Rated power", "62 W   0.4 A"),
        ("Preheater", "500 W"),
        ("Year of build", "2024, week 19"),
        ("Protection", "IP21   Class I"),
        ("Weight", "21 kg"),
    )
    for n, (name, value) in enumerate(rows):
        s.words((90, 172 + n * 52), name, 28)
        s.words((380, 172 + n * 52), value, 31, bold=True)
    _matrix(s, (800, 300), 11)
    for x, y in ((46, 46), (1054, 46), (46, 614), (1054, 614)):
        _screw(s, (x, y))
    plate = _brushed(s.finish())
    corners = ((165, 190), (1250, 140), (1225, 800), (185, 830))
    scene = _shade(_place(plate, _housing(), corners), seed=19)
    _save(scene, path, "Nameplate of the Larkwind 150 at 14 Orchard Row", "2026:10:02 14:21:37")


def commissioning_label(path: Path) -> None:
    """Write the picture of the label inside the front door, filled in by hand."""
    s = Sketch(1100, 720, background="#fbfaf4", scale=2)
    s.box((8, 8), (1084, 704), None, "#c7c3b4", radius=14)
    s.box((8, 8), (1084, 96), "#d9772b", None, radius=14)
    s.words((50, 56), "Commissioning label", 40, "white", bold=True)
    s.words((1050, 56), "Larkwind 150", 32, "white", anchor="rm")
    random = np.random.default_rng(57)
    rows = (
        ("Dwelling", "14 Orchard Row"),
        ("Date", "12 June 2026"),
        ("Supply air, Normal", "104 m3/h"),
        ("Extract air, Normal", "101 m3/h"),
        ("Fan setting, Normal", "57 %"),
        ("Next filter change", "9 December 2026"),
        ("Installer", "J. Okafor"),
    )
    for n, (name, value) in enumerate(rows):
        y = 160 + n * 78
        s.words((50, y), name, 29)
        s.line([(400, y + 26), (1040, y + 26)], "#b8b4a6", 1.5)
        _handwriting(s, (420, y), value, random)
    corners = ((190, 150), (1215, 185), (1190, 865), (150, 800))
    scene = _shade(_place(s.finish(), _housing(), corners), seed=23)
    _save(scene, path, "Commissioning label inside the front door, 14 Orchard Row", "2026:10:02 14:26:05")


def _handwriting(s: Sketch, at: tuple[float, float], value: str, random: np.random.Generator) -> None:
    x, y = at[0] * s.scale, at[1] * s.scale
    face = font(37 * s.scale, italic=True)
    for letter in value:
        advance = face.getlength(letter)
        if letter != " ":
            side = int(80 * s.scale)
            tile = Image.new("L", (side, side))
            ImageDraw.Draw(tile).text((side / 2, side / 2), letter, fill=235, font=face, anchor="mm")
            tile = tile.rotate(random.uniform(-5, 5), Image.Resampling.BICUBIC)
            lift = random.uniform(-2.5, 2.5) * s.scale
            s.image.paste("#1f3f9a", (int(x + advance / 2 - side / 2), int(y + lift - side / 2)), tile)
        x += advance * random.uniform(0.98, 1.06)


def _matrix(s: Sketch, corner: tuple[float, float], cell: float) -> None:
    dots = np.random.default_rng(150).random((18, 18)) < 0.5
    dots[:, 0] = dots[-1, :] = True
    dots[0, :] = np.arange(18) % 2 == 0
    for row, column in np.argwhere(dots):
        s.box((corner[0] + column * cell, corner[1] + row * cell), (cell, cell), INK, INK)


def _screw(s: Sketch, at: tuple[float, float]) -> None:
    x, y = at
    s.dot((x + 2, y + 3), 21, "#8d9499")
    s.dot(at, 20, "#b9c0c4", "#6a7379")
    s.dot((x - 4, y - 5), 9, "#d7dcdf")
    s.line([(x - 13, y + 6), (x + 13, y - 6)], "#4b5358", 5)


def _brushed(plate: Image.Image) -> Image.Image:
    """Streak a plate with the fine horizontal lines of brushed metal, lighter in its middle."""
    random = np.random.default_rng(3)
    streaks = random.normal(0, 9, (plate.height, plate.width + 80))
    kernel = np.ones(80) / 80**0.5
    streaks = np.array([np.convolve(row, kernel, "same") for row in streaks])[:, 40:-40]
    glow = 16 * np.sin(np.linspace(0, np.pi, plate.width))[None, :]
    pixels = np.asarray(plate, np.float64)
    return _picture(pixels + (streaks + glow)[:, :, None] * (pixels / 255))


def _housing() -> Image.Image:
    """Return a painted steel wall with a fold and a seam."""
    width, height = SIZE
    ramp = np.linspace(218, 172, width)[None, :] + np.linspace(10, -16, height)[:, None]
    pixels = np.repeat(ramp[:, :, None], 3, axis=2) * np.array([0.97, 0.985, 1.0])
    pixels[930:936] *= 0.72
    pixels[936:941] *= 1.1
    return _picture(pixels)


def _place(plate: Image.Image, scene: Image.Image, corners: Corners) -> Image.Image:
    """Put a plate into a scene so that its corners fall on the given points, with a soft shadow."""
    w, h = plate.size
    fine = (SIZE[0] * 2, SIZE[1] * 2)  # twice as fine, then reduced: smooth edges
    flat = ((0, 0), (w, 0), (w, h), (0, h))
    rows, target = [], []
    for (x, y), (u, v) in zip(corners, flat, strict=True):
        x, y = 2 * x, 2 * y
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        target += [u, v]
    terms = np.linalg.solve(np.array(rows, float), np.array(target, float))
    coefficients = [round(float(t), 9) for t in terms]
    warp = (fine, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC)
    mask = Image.new("L", plate.size, 255).transform(*warp).resize(SIZE, Image.Resampling.LANCZOS)
    shadow = ImageChops.offset(mask, 9, 12).filter(ImageFilter.GaussianBlur(11)).point(lambda v: int(v * 0.5))
    scene.paste("#2c3338", (0, 0), shadow)
    scene.paste(plate.transform(*warp).resize(SIZE, Image.Resampling.LANCZOS), (0, 0), mask)
    return scene


def _shade(scene: Image.Image, *, seed: int) -> Image.Image:
    """Light a scene from the upper left, darken its corners, and add the grain of a small sensor."""
    width, height = scene.size
    y, x = np.mgrid[0:height, 0:width]
    light = 1.08 - 0.30 * np.hypot(x / width - 0.38, y / height - 0.34)
    grain = np.random.default_rng(seed).normal(0, 2.2, (height, width, 1))
    pixels = np.asarray(scene.filter(ImageFilter.GaussianBlur(0.8)), np.float64)
    return _picture(pixels * light[:, :, None] * np.array([1.01, 1.0, 0.96]) + grain)


def _picture(pixels: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _save(scene: Image.Image, path: Path, description: str, taken: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = description
    exif[0x0131] = "Tarnholt Service"
    exif[0x0132] = taken
    exif.get_ifd(0x8769)[0x9003] = taken
    scene.save(path, "JPEG", quality=84, optimize=True, exif=exif)
