"""Builds the drawn and typeset files of examples/corpus; the same libraries write the same bytes each time.

    python scripts/build_examples.py [FOLDER]

The Markdown, HTML and text files of the corpus are written by hand and are not touched.
"""

from __future__ import annotations

import sys
from pathlib import Path

from example_corpus import datasheet, drawings, manual, office, photos, price_list, scans, wiring_diagram

CORPUS = Path(__file__).resolve().parents[1] / "examples" / "corpus"


def build(folder: Path) -> None:
    """Write every built file into `folder`."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    manual.build(folder / "manual.pdf")
    price_list.build(folder / "price-list.pdf")
    datasheet.build(folder / "larkwind-300.pdf")
    scans.letter(folder / "service-letter.pdf")
    scans.delivery_note(folder / "delivery-note.png")
    photos.nameplate(images / "nameplate.jpg")
    photos.commissioning_label(images / "commissioning-label.jpg")
    office.report(folder / "site-visit.docx")
    office.stock(folder / "van-stock.xlsx")
    office.training(folder / "partner-training.pptx")
    office.mail(folder / "re-new-fan.eml")
    office.call(folder / "hotline-call.vtt")
    for name, picture in (
        ("wiring-diagram.png", wiring_diagram.build()),
        ("images/filter-change.png", drawings.filter_change()),
        ("images/wall-bracket.png", drawings.wall_bracket()),
        ("images/control-panel.png", drawings.control_panel()),
    ):
        picture.save(folder / name, optimize=True)


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else CORPUS)
