import base64
import json
from pathlib import Path
from typing import Any

import pytest

from mmrag.core.errors import Corrupt, Empty
from mmrag.core.fields import PLACE
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import ReadContext, Reader
from mmrag.core.reading import Reading
from mmrag.core.types import Source, SourceId, Span
from mmrag.corpus.readers.notebook.reader import NotebookReader
from mmrag.testing import FakeOcr, ReaderContract
from mmrag.testing.samples import picture_of

KIND = "application/x-ipynb+json"
PICTURE = picture_of("A2")
SVG = '<svg viewBox="0 0 400 300"><text x="10" y="30">Relay K1</text></svg>'


def read_text(folder: Path, text: str) -> Reading:
    path = folder / "a.ipynb"
    path.write_bytes(text.encode())
    source = Source(SourceId(path.name), digest_bytes(text.encode()), len(text.encode()), KIND)
    return NotebookReader().read(path, source, ReadContext(folder, FakeOcr()))


def read(folder: Path, *cells: object, **metadata: object) -> Reading:
    return read_text(folder, json.dumps({"nbformat": 4, "metadata": metadata, "cells": cells}))


def markdown(text: str, **more: object) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": text.splitlines(keepends=True), **more}


def code(text: str, *outputs: object) -> dict[str, Any]:
    return {"cell_type": "code", "source": text, "outputs": outputs}


def shown(**data: object) -> dict[str, Any]:
    return {"output_type": "display_data", "data": {k.replace("_", "/"): v for k, v in data.items()}}


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def said(reading: Reading) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in reading.blocks]


class TestContract(ReaderContract):
    media_type = KIND
    words = ("warranty", "24 months", "print", "Relay K1", "4.20")

    def make(self) -> Reader:
        return NotebookReader()

    def write_samples(self, folder: Path) -> list[Path]:
        path = folder / "a.ipynb"
        png = base64.b64encode(PICTURE).decode()
        table = "<table><tr><th>Part<th>Price<tr><td>Fuse<td>4.20</table>"
        cells = [
            markdown(
                "# Halden\n\nThe warranty.\n\n![plan](attachment:p.png)\n",
                attachments={"p.png": {"image/png": png}},
            ),
            code(
                "print('24 months')",
                stream("24 months\n"),
                shown(text_html=table),
                {"output_type": "display_data", "data": {"image/svg+xml": SVG}},
            ),
        ]
        path.write_text(json.dumps({"nbformat": 4, "metadata": {}, "cells": cells}))
        return [path]


def test_cells_in_order_with_their_numbers(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        markdown("# Care\n\nWords *here*."),
        code("x = 1\nprint(x)", stream("1\n")),
        {"cell_type": "raw", "source": "raw words"},
        kernelspec={"language": "python", "name": "python3"},
        authors=[{"name": "Ann"}, {"name": "Bob"}],
    )
    assert said(reading) == [
        ("heading", "Care"),
        ("paragraph", "Words here."),
        ("code", "x = 1\nprint(x)"),
        ("code", "1"),
        ("paragraph", "raw words"),
    ]
    assert [b.metadata[PLACE] for b in reading.blocks] == ["cell 1", "cell 1", "cell 2", "cell 2", "cell 3"]
    assert (reading.title, dict(reading.metadata)) == (
        "Care",
        {"code_language": "python", "author": "Ann, Bob"},
    )


def test_places_count_the_text_of_all_blocks(tmp_path: Path) -> None:
    reading = read(tmp_path, markdown("# Care\n\nOne\ntwo."), code("a\n\nb", stream("x\ny")))
    whole = "\n\n".join(block.text for block in reading.blocks)
    for block in reading.blocks:
        for place in block.parts[0].places:
            assert isinstance(place.locator, Span)
            assert whole[place.locator.start : place.locator.end] == block.text[place.start : place.end]


def test_the_first_versions_are_read(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "heading", "level": 2, "source": ["Old"]},
        {
            "cell_type": "code",
            "input": ["1 + 1"],
            "outputs": [
                {"output_type": "pyout", "text": ["2"]},
                {"output_type": "stream", "stream": "stdout", "text": "out"},
                {
                    "output_type": "display_data",
                    "png": base64.b64encode(PICTURE).decode(),
                    "text": "<Figure>",
                },
                {"output_type": "pyerr", "ename": "ValueError", "evalue": "no", "traceback": []},
            ],
        },
    ]
    reading = read_text(tmp_path, json.dumps({"nbformat": 3, "worksheets": [{"cells": cells}]}))
    kinds = [("heading", "Old"), ("code", "1 + 1"), ("code", "2"), ("code", "out"), ("figure", "")]
    assert said(reading) == [*kinds, ("code", "ValueError: no")]


def test_streams_read_as_a_terminal_shows_them(tmp_path: Path) -> None:
    bar = "\r".join(f"{i:3}%|{'#' * i}| {i}/100 [00:0{i}<00:09]" for i in range(9))
    lines = " 10%|#| 1/10 [0]\n 20%|##| 2/10 [0]\ndone\n"
    reading = read(
        tmp_path,
        code("x", stream("\x1b[31mred\x1b[0m "), stream("and more\n"), stream(bar, "stderr"), stream(lines)),
    )
    assert [text for _, text in said(reading)[1:]] == [
        "red and more",
        "  8%|########| 8/100 [00:08<00:09]",
        " 20%|##| 2/10 [0]\ndone",
    ]


def test_long_outputs_lose_their_middle_and_say_so(tmp_path: Path) -> None:
    reading = read(
        tmp_path, code("x", stream("\n".join(f"line {i}" for i in range(1000))), stream("y" * 9000, "e"))
    )
    first, second = (text for _, text in said(reading)[1:])
    assert first.startswith("line 0\n")
    assert "\nline 349\n[600 lines left out]\nline 950\n" in first
    assert first.endswith("\nline 999")
    assert second.endswith("y [...]")
    assert reading.problems == ("601 lines of 2 long outputs were left out or cut.",)


def test_tables_come_from_their_html(tmp_path: Path) -> None:
    html = "<style>x</style><table><thead><tr><th><th>a</thead><tr><th>0<td>5</table>"
    reading = read(tmp_path, code("df", shown(text_html=html, text_plain="   a\n0  5")))
    assert said(reading)[1:] == [("table", " | a\n0 | 5")]
    other = read(
        tmp_path,
        code("x", shown(text_html="<b>bold words</b>", text_plain="<IPython.core.display.HTML object>")),
    )
    assert said(other)[1:] == [("paragraph", "bold words")]


def test_what_only_names_an_object_is_left_out(tmp_path: Path) -> None:
    widget = {
        "output_type": "display_data",
        "data": {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "x"},
    }
    plain = shown(text_plain="<Figure size 640x480 with 1 Axes>")
    assert said(read(tmp_path, code("x", widget, plain, shown(text_latex="$x^2$")))) == [
        ("code", "x"),
        ("code", "$x^2$"),
    ]


def test_errors_say_how_they_end(tmp_path: Path) -> None:
    trace = ["\x1b[0;31m-----\x1b[0m", "Traceback (most recent call last)", *[f"frame {i}" for i in range(9)]]
    error = {
        "output_type": "error",
        "ename": "KeyError",
        "evalue": "'x'",
        "traceback": [*trace, "KeyError: 'x'"],
    }
    assert said(read(tmp_path, code("d['x']", error)))[1] == (
        "code",
        "frame 6\nframe 7\nframe 8\nKeyError: 'x'",
    )


def test_pictures_stand_with_what_made_them(tmp_path: Path) -> None:
    png = base64.b64encode(PICTURE).decode()
    source = '#| fig-cap: "Voltage over time"\nplt.plot(v)'
    output = {"output_type": "display_data", "data": {"image/png": png, "text/plain": "<Figure size 6x4>"}}
    reading = read(tmp_path, markdown("How the voltage falls:"), code(source, stream("log"), output))
    (figure,) = [b for b in reading.blocks if b.kind == "figure"]
    assert figure.parts[0].media == digest_bytes(PICTURE)
    assert [(p.role, p.text) for p in figure.parts[1:]] == [("caption", "Voltage over time")]
    assert figure.neighbours.startswith("How the voltage falls:\n#| fig-cap")
    assert figure.metadata[PLACE] == "cell 2"


def test_attached_and_drawn_pictures(tmp_path: Path) -> None:
    png = base64.b64encode(PICTURE).decode()
    (tmp_path / "b.png").write_bytes(PICTURE)
    text = "![one](attachment:my%20p.png)\n\n![two](b.png)\n\n![three](attachment:gone.png)"
    drawing = {"output_type": "display_data", "data": {"image/svg+xml": [SVG]}}
    reading = read(tmp_path, markdown(text, attachments={"my p.png": {"image/png": png}}), code("x", drawing))
    figures = [b.text for b in reading.blocks if b.kind == "figure"]
    assert figures == ["one", "two", "Relay K1"]
    assert reading.depends == ("b.png",)


def test_broken_pictures_and_cells_are_counted(tmp_path: Path) -> None:
    torn = {"output_type": "display_data", "data": {"image/png": "AAAA"}}
    reading = read(tmp_path, 7, code("x", torn), "cell")
    assert reading.problems == (
        "2 cells could not be read, the first one is cell 1.",
        "The picture in cell 2 cannot be read.",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no JSON"),
        ("[" * 200_000, "nested too deeply"),
        ("[1]", "no notebook"),
        ('{"cells": 1}', "no list of cells"),
    ],
)
def test_what_is_no_notebook(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(Corrupt, match=words):
        read_text(tmp_path, text)


def test_nothing_to_index(tmp_path: Path) -> None:
    with pytest.raises(Empty):
        read(tmp_path, code(""), markdown("  "))


def test_a_missing_picture_is_named_where_there_is_nothing_else(tmp_path: Path) -> None:
    reading = read(tmp_path, markdown("![](gone.png)"))
    assert reading.blocks == ()
    assert reading.problems == ("The picture gone.png is missing.",)


def test_an_older_notebook_without_worksheets_is_empty(tmp_path: Path) -> None:
    with pytest.raises(Empty):
        read_text(tmp_path, json.dumps({"nbformat": 3, "nbformat_minor": 0, "metadata": {}}))
