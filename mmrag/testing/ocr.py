"""What every OCR engine must do."""

# ruff: noqa: D102 (a test's name is its sentence)

from __future__ import annotations

from abc import ABC, abstractmethod

import pytest

from mmrag.core.errors import MmragError
from mmrag.core.protocols import Ocr
from mmrag.testing.reader import check_box
from mmrag.testing.samples import picture_of

LINES = ("Warranty 24 months", "Serial number 70413", "Made in Norway")


class OcrContract(ABC):
    """Subclass it as `Test...` and say how to make the engine.

    `pictures` are drawn here, large and clean: no engine may fail on them.
    """

    @abstractmethod
    def make(self) -> Ocr:
        """Make the engine under test."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Ocr:
        return cls().make()

    def test_it_implements_the_protocol(self, engine: Ocr) -> None:
        assert isinstance(engine, Ocr)
        assert engine.identity
        assert engine.identity == self.make().identity

    @pytest.mark.parametrize("encoding", ["PNG", "JPEG"])
    def test_large_clean_lines_are_read_in_order(self, engine: Ocr, encoding: str) -> None:
        lines = engine.read(picture_of(*LINES, encoding=encoding))
        assert _letters(" ".join(line.text for line in lines)) == _letters(" ".join(LINES))

    def test_words_keep_their_spaces(self, engine: Ocr) -> None:
        lines = engine.read(picture_of(*LINES))
        assert " ".join(" ".join(line.text for line in lines).split()) == " ".join(LINES)

    def test_lines_are_well_formed(self, engine: Ocr) -> None:
        for line in engine.read(picture_of(*LINES)):
            assert line.text.strip()
            assert 0 <= line.confidence <= 1
            check_box(line.box)

    def test_boxes_lie_on_the_words(self, engine: Ocr) -> None:
        lines = engine.read(picture_of(*LINES))
        assert len(lines) == len(LINES)
        for i, line in enumerate(lines):
            middle = (i + 0.5) / len(LINES)
            assert line.box.y0 <= middle <= line.box.y1
            assert line.box.y1 - line.box.y0 < 0.3
            assert line.box.x0 < 0.12
            assert 0.2 < line.box.x1 < 0.8

    def test_the_same_picture_gives_the_same_lines(self, engine: Ocr) -> None:
        picture = picture_of(*LINES)
        assert engine.read(picture) == engine.read(picture)

    def test_a_blank_picture_has_no_lines(self, engine: Ocr) -> None:
        assert engine.read(picture_of("")) == ()

    def test_a_tiny_picture_is_no_error(self, engine: Ocr) -> None:
        assert engine.read(picture_of("", width=2, height=2)) == ()

    @pytest.mark.parametrize("data", [b"", b"not a picture", bytes(100)], ids=["empty", "text", "zeros"])
    def test_what_is_no_picture_is_refused(self, engine: Ocr, data: bytes) -> None:
        with pytest.raises(MmragError) as caught:
            engine.read(data)
        assert caught.value.fix


def _letters(text: str) -> str:
    return "".join(text.split()).casefold()
