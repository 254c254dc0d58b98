"""What every reader of files must do."""

# ruff: noqa: D102 (a test's name is its sentence)

from __future__ import annotations

import pickle
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mmrag.core.errors import SourceError, TooLarge
from mmrag.core.identity import digest_bytes, digest_file
from mmrag.core.protocols import Ocr, ReadContext, Reader, ReadLimits
from mmrag.core.reading import Reading
from mmrag.core.types import Box, Cells, Locator, Page, Source, SourceId, Span
from mmrag.testing.fakes import FakeOcr


class ReaderContract(ABC):
    """Subclass it as `Test...`, say how to make the reader and write sample files.

    `reads_any_bytes` is True for a reader that finds text in any file (so a broken one is no error).
    `media_type` is what the samples are.
    """

    media_type: str
    reads_any_bytes: bool = False
    words: Sequence[str] = ()
    """Words that stand in the samples' text and must be read."""

    @abstractmethod
    def make(self) -> Reader:
        """Make the reader under test."""

    @abstractmethod
    def write_samples(self, folder: Path) -> list[Path]:
        """Write good files of the reader's family into a folder and return their paths."""

    def ocr(self) -> Ocr | None:
        """Return the OCR engine that the reader may use."""
        return FakeOcr()

    @pytest.fixture
    def samples(self, tmp_path: Path) -> list[Path]:
        paths = self.write_samples(tmp_path)
        assert paths, "the suite needs a sample"
        return paths

    def read(self, path: Path, root: Path, *, limits: ReadLimits | None = None) -> Reading:
        """Read a file as sync would."""
        context = ReadContext(root, self.ocr(), limits or ReadLimits())
        return self.make().read(path, self.source_of(path, root), context)

    def error_of(self, path: Path, root: Path) -> SourceError | None:
        """Return the error of reading a file, which must be a SourceError with a fix, or None."""
        try:
            self.read(path, root)
        except SourceError as error:
            return error if error.fix else pytest.fail(f"{error} does not say what to do")
        return None

    def source_of(self, path: Path, root: Path) -> Source:
        """Describe a file as sync would."""
        name = SourceId(path.relative_to(root).as_posix())
        return Source(name, digest_file(path), path.stat().st_size, self.media_type)

    def test_it_implements_the_protocol(self) -> None:
        reader = self.make()
        assert isinstance(reader, Reader)
        assert reader.name.isidentifier()
        assert isinstance(reader.version, int)
        assert reader.version >= 1
        kinds = [known.media_type for known in reader.formats]
        assert self.media_type in kinds
        assert all(kind.count("/") == 1 and kind == kind.lower() for kind in kinds)
        for known in reader.formats:
            assert known.suffixes
            assert all(s.startswith(".") and s == s.lower() for s in known.suffixes)
            assert known.title.split()[0] in ("a", "an"), "messages say: the file is <title>"

    def test_it_says_what_happens_to_a_file(self) -> None:
        assert self.make().about
        assert all(row.files and row.reads for row in self.make().about)

    def test_a_worker_process_can_have_it(self) -> None:
        copy = pickle.loads(pickle.dumps(self.make()))
        assert (copy.name, copy.version, copy.formats) == (
            self.make().name,
            self.make().version,
            self.make().formats,
        )

    def test_samples_are_taken_for_what_they_are(self, samples: list[Path]) -> None:
        by_suffix = {suffix: known for known in self.make().formats for suffix in known.suffixes}
        for path in samples:
            known = by_suffix[path.suffix.lower()]
            assert known.media_type == self.media_type
            assert re.compile(known.magic, re.DOTALL).match(path.read_bytes()[:8192])

    def test_samples_give_blocks_without_problems(self, samples: list[Path], tmp_path: Path) -> None:
        for path in samples:
            reading = self.read(path, tmp_path)
            assert reading.blocks, f"{path.name} gave nothing"
            assert reading.problems == ()

    def test_the_words_are_read(self, samples: list[Path], tmp_path: Path) -> None:
        blocks = [block for path in samples for block in self.read(path, tmp_path).blocks]
        text = " ".join(" ".join([block.text, block.neighbours]) for block in blocks)
        missing = [word for word in self.words if word not in text]
        assert not missing

    def test_reading_twice_gives_the_same(self, samples: list[Path], tmp_path: Path) -> None:
        for path in samples:
            assert self.read(path, tmp_path) == self.read(path, tmp_path)

    def test_the_folder_does_not_matter(
        self, samples: list[Path], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        other = tmp_path_factory.mktemp("elsewhere") / "copy"
        shutil.copytree(tmp_path, other)
        for path in samples:
            assert self.read(other / path.relative_to(tmp_path), other) == self.read(path, tmp_path)

    def test_the_file_is_left_alone(self, samples: list[Path], tmp_path: Path) -> None:
        for path in samples:
            before = (path.read_bytes(), path.stat().st_mtime_ns, sorted(path.parent.iterdir()))
            self.read(path, tmp_path)
            assert (path.read_bytes(), path.stat().st_mtime_ns, sorted(path.parent.iterdir())) == before

    def test_locators_are_in_bounds(self, samples: list[Path], tmp_path: Path) -> None:
        for path in samples:
            for block in self.read(path, tmp_path).blocks:
                check_locator(block.locator)
                for part in block.parts:
                    for place in part.places:
                        check_locator(place.locator)

    def test_places_lie_in_their_text_in_order(self, samples: list[Path], tmp_path: Path) -> None:
        for path in samples:
            for block in self.read(path, tmp_path).blocks:
                for part in block.parts:
                    end = 0
                    for place in part.places:
                        assert end <= place.start < place.end <= len(part.text or "")
                        end = place.end

    def test_blocks_are_well_formed(self, samples: list[Path], tmp_path: Path) -> None:
        for path in samples:
            for block in self.read(path, tmp_path).blocks:
                assert block.parts, "a block without parts says nothing"
                assert (block.level >= 1) == (block.kind == "heading")
                if block.kind == "figure":
                    assert any(part.modality == "image" and part.media for part in block.parts)
                else:
                    assert block.text.strip()
                for part in block.parts:
                    assert (part.modality == "text") == (part.text is not None)
                    assert (part.modality != "text") == (part.media is not None)

    def test_media_is_there_under_its_digest(self, samples: list[Path], tmp_path: Path) -> None:
        for path in samples:
            reading = self.read(path, tmp_path)
            for blob in reading.blobs:
                assert blob.digest == digest_bytes(blob.data)
                assert blob.media_type.count("/") == 1
            known = {blob.digest for blob in reading.blobs} | {digest_file(path)}
            used = {part.media for block in reading.blocks for part in block.parts if part.media}
            assert used <= known

    def test_coverage_names_each_page_once(self, samples: list[Path], tmp_path: Path) -> None:
        for path in samples:
            reading = self.read(path, tmp_path)
            pages = [coverage.page for coverage in reading.pages]
            assert pages == sorted(set(pages))
            if pages:
                assert pages[0] >= 1
                used = {b.locator.number for b in reading.blocks if isinstance(b.locator, Page)}
                assert used <= set(pages)

    def test_metadata_is_flat(self, samples: list[Path], tmp_path: Path) -> None:
        for path in samples:
            reading = self.read(path, tmp_path)
            for metadata in (reading.metadata, *(block.metadata for block in reading.blocks)):
                assert all(isinstance(key, str) for key in metadata)
                assert all(isinstance(value, str | int | float | bool) for value in metadata.values())

    def test_a_missing_ocr_engine_is_no_error(self, samples: list[Path], tmp_path: Path) -> None:
        for path in samples:
            context = ReadContext(tmp_path, None)
            self.make().read(path, self.source_of(path, tmp_path), context)

    @pytest.mark.parametrize("keep", [0, 1, 16, 100, 0.5, 0.95])
    def test_a_torn_file_is_a_source_error_or_less(
        self, samples: list[Path], tmp_path: Path, keep: float
    ) -> None:
        for path in samples:
            data = path.read_bytes()
            path.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
            self.error_of(path, tmp_path)

    def test_an_empty_file_is_refused(self, samples: list[Path], tmp_path: Path) -> None:
        path = samples[0]
        path.write_bytes(b"")
        with pytest.raises(SourceError) as caught:
            self.read(path, tmp_path)
        assert caught.value.fix

    @pytest.mark.parametrize("seed", range(3))
    def test_noise_is_refused(self, samples: list[Path], tmp_path: Path, seed: int) -> None:
        path = samples[0]
        noise = b"".join(bytes.fromhex(digest_bytes(b"%d %d" % (seed, i))) for i in range(200))
        path.write_bytes(noise)
        error = self.error_of(path, tmp_path)
        if not self.reads_any_bytes:
            assert error is not None

    def test_limits_hold(self, samples: list[Path], tmp_path: Path) -> None:
        limits = replace(ReadLimits(), max_bytes=8, max_text_bytes=8, max_pixels=8)
        for path in samples:
            with pytest.raises(TooLarge) as caught:
                self.read(path, tmp_path, limits=limits)
            assert caught.value.fix


def check_locator(locator: Locator) -> None:
    """Assert that a locator points into a source that could exist."""
    if isinstance(locator, Page):
        assert locator.number >= 1
        if locator.box is not None:
            check_box(locator.box)
    elif isinstance(locator, Span):
        assert 0 <= locator.start < locator.end
    elif isinstance(locator, Cells):
        assert 1 <= locator.first <= locator.last
    else:
        assert 0 <= locator.start <= locator.end


def check_box(box: Box) -> None:
    """Assert that a box lies on its page."""
    assert 0 <= box.x0 <= box.x1 <= 1, box
    assert 0 <= box.y0 <= box.y1 <= 1, box
