import io
import re
import subprocess
import sys
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import av
import pytest
from PIL import Image

from mmrag.core.errors import Corrupt, MissingExtra, TooLarge
from mmrag.core.fields import PLACE
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import ReadContext, Reader, ReadLimits
from mmrag.core.reading import Block, Reading
from mmrag.core.types import Place, Source, SourceId, TimeRange
from mmrag.corpus.readers.detect import Detector
from mmrag.corpus.readers.recordings.container import Container, _contents, _Watched
from mmrag.corpus.readers.recordings.recording import RecordingReader
from mmrag.testing import FakeOcr, ReaderContract
from mmrag.testing.recordings import film_of, tone_of

MEDIA_TYPES = {suffix: known.media_type for known in RecordingReader.formats for suffix in known.suffixes}
CUES = ((0.1, 0.9, "The relay opens."), (1.0, 1.9, "It closes <i>again</i>."))
CHAPTERS = (("Opening", 0.0, 1.0), ("Closing", 1.0, 2.0))
TAGS = {"title": "Halden relay", "artist": "Ann Bee", "date": "2024-05-06", "comment": "Filmed twice."}
VTT = "WEBVTT\n\n00:00.000 --> 00:01.000\nThe relay opens.\n\n00:01.000 --> 00:02.000\nIt closes again.\n"


def _id3_picture(data: bytes) -> bytes:
    """Return an ID3 tag with a cover."""
    body = b"\x00image/png\x00\x03\x00" + data
    frame = b"APIC" + len(body).to_bytes(4, "big") + b"\x00\x00" + body
    size = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + size + frame


def _read(
    folder: Path, data: bytes, *, name: str = "talk.mkv", ocr: bool = True, limits: ReadLimits | None = None
) -> Reading:
    path = folder / name
    path.write_bytes(data)
    source = Source(SourceId(name), digest_bytes(data), len(data), MEDIA_TYPES[path.suffix])
    context = ReadContext(folder, FakeOcr() if ocr else None, limits or ReadLimits())
    return RecordingReader().read(path, source, context)


def _outline(reading: Reading) -> list[tuple[int, str]]:
    return [(block.level, block.text) for block in reading.blocks]


def _of_kind(reading: Reading, kind: str) -> list[Block]:
    return [block for block in reading.blocks if block.kind == kind]


@cache
def _sample_film() -> bytes:
    return film_of(subtitles=[("subrip", "eng", CUES)], chapters=CHAPTERS, tags=TAGS)


@cache
def _sample_sound() -> bytes:
    return tone_of("ipod", "aac", tags=TAGS)


class RecordingContract(ReaderContract):
    words = ("Halden relay", "Ann Bee")

    def make(self) -> Reader:
        return RecordingReader()


class TestFilm(RecordingContract):
    media_type = "video/x-matroska"
    words = ("Halden relay", "opens", "closes again", "Closing", "64 x 64")

    def write_samples(self, folder: Path) -> list[Path]:
        path = folder / "talk.mkv"
        path.write_bytes(_sample_film())
        return [path]


class TestSound(RecordingContract):
    media_type = "audio/mp4"
    words = ("Halden relay", "3 s", "aac")

    def write_samples(self, folder: Path) -> list[Path]:
        path = folder / "talk.m4a"
        path.write_bytes(_sample_sound())
        return [path]


@pytest.mark.parametrize(
    ("form", "codec"), [("mp4", "mov_text"), ("matroska", "subrip"), ("matroska", "webvtt")]
)
def test_subtitles_stand_under_their_chapters(tmp_path: Path, form: str, codec: str) -> None:
    data = film_of(form, subtitles=[(codec, "eng", CUES)], chapters=CHAPTERS, tags=TAGS)
    reading = _read(tmp_path, data, name="talk.mp4" if form == "mp4" else "talk.mkv")
    assert reading.problems == ()
    assert reading.title == "Halden relay"
    assert _outline(reading)[-4:] == [
        (2, "Opening"),
        (0, "The relay opens."),
        (2, "Closing"),
        (0, "It closes again."),
    ]
    words = reading.blocks[-1]
    assert words.parts[0].places == (Place(0, len(words.text), TimeRange(1.0, 1.9)),)
    assert reading.blocks[-2].locator == TimeRange(1.0, 2.0)


def test_ass_subtitles_keep_their_speakers(tmp_path: Path) -> None:
    words = "0,0,Default,Ann Bee,0,0,0,,{\\i1}It opens,{\\i0} and\\Ncloses."
    reading = _read(tmp_path, film_of(subtitles=[("ass", "eng", [(0.0, 1.0, words)])]))
    assert reading.blocks[-1].text == "Ann Bee: It opens, and closes."


def test_the_facts_are_words_and_fields(tmp_path: Path) -> None:
    reading = _read(tmp_path, film_of(chapters=CHAPTERS, tags=TAGS))
    title, facts, comment = reading.blocks[:3]
    assert (title.level, title.text) == (1, "Halden relay")
    assert facts.text.splitlines()[0] == "Video, 2 s, 2 chapters"
    assert {"Artist: Ann Bee", "Date: 2024-05-06", "Pictures: mpeg4 64 x 64"} <= set(facts.text.splitlines())
    assert facts.metadata == {PLACE: ""}
    assert comment.text == "Filmed twice."
    assert reading.metadata == {
        "duration_s": 2.0,
        "artist": "Ann Bee",
        "created": "2024-05-06",
        "width": 64,
        "height": 64,
    }


def test_without_words_the_chapters_still_have_their_times(tmp_path: Path) -> None:
    reading = _read(tmp_path, film_of(chapters=CHAPTERS))
    assert [(b.text, b.locator) for b in _of_kind(reading, "heading")] == [
        ("Opening", TimeRange(0.0, 1.0)),
        ("Closing", TimeRange(1.0, 2.0)),
    ]
    assert reading.problems == ()


def test_a_recording_without_tags_is_indexed_by_what_it_is(tmp_path: Path) -> None:
    reading = _read(tmp_path, tone_of("wav", "pcm_s16le"), name="a.wav")
    assert _outline(reading) == [(0, "Audio recording, 3 s\nSound: pcm_s16le")]


@pytest.mark.parametrize(
    ("form", "codec", "name"),
    [
        ("wav", "pcm_s16le", "a.wav"),
        ("aiff", "pcm_s16be", "a.aiff"),
        ("flac", "flac", "a.flac"),
        ("ogg", "libopus", "a.opus"),
        ("mp3", "libmp3lame", "a.mp3"),
        ("adts", "aac", "a.aac"),
        ("ipod", "aac", "a.m4a"),
        ("asf", "wmav2", "a.wma"),
    ],
)
def test_each_kind_of_sound_is_told_and_read(tmp_path: Path, form: str, codec: str, name: str) -> None:
    data = tone_of(form, codec, tags={"title": "Halden relay"})
    reading = _read(tmp_path, data, name=name)
    assert Detector([RecordingReader()])(tmp_path / name) == MEDIA_TYPES[Path(name).suffix]
    assert reading.problems == ()
    assert "3 s" in reading.blocks[-1].text
    assert reading.title == ("" if form in ("adts",) else "Halden relay")


@pytest.mark.parametrize(
    ("form", "name"),
    [("mp4", "a.mp4"), ("mov", "a.mov"), ("matroska", "a.mkv"), ("avi", "a.avi"), ("asf", "a.wmv")],
)
def test_each_kind_of_film_is_told_and_read(tmp_path: Path, form: str, name: str) -> None:
    reading = _read(tmp_path, film_of(form, tags={"title": "Halden relay"}), name=name)
    assert Detector([RecordingReader()])(tmp_path / name) == MEDIA_TYPES[Path(name).suffix]
    assert reading.title == "Halden relay"
    assert "64 x 64" in reading.blocks[-1].text


def test_texts_are_never_taken_for_sound(tmp_path: Path) -> None:
    patterns = [known.magic for known in RecordingReader.formats]
    texts = ["The free space", "GIF89a", "ID3 tags", "RIFFs", "Grüße"]
    for data in [text.encode(code) for text in texts for code in ("utf-8", "utf-16", "utf-32", "cp1252")]:
        assert not any(re.compile(magic, re.DOTALL).match(data) for magic in patterns), data


def test_a_transcript_beside_it_is_read_under_the_chapters(tmp_path: Path) -> None:
    (tmp_path / "talk.vtt").write_text(VTT)
    reading = _read(tmp_path, film_of(chapters=CHAPTERS))
    assert _outline(reading)[-4:] == [
        (2, "Opening"),
        (0, "The relay opens."),
        (2, "Closing"),
        (0, "It closes again."),
    ]
    assert {"talk.vtt", "talk.srt", "talk.de.srt", ".mmragignore"} <= set(reading.depends)


def test_without_chapters_the_words_still_stand_apart_from_the_tags(tmp_path: Path) -> None:
    (tmp_path / "talk.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nThe relay opens.\n")
    reading = _read(tmp_path, film_of())
    assert [(b.kind, b.text, b.metadata) for b in reading.blocks[-2:]] == [
        ("heading", "Transcript", {}),
        ("paragraph", "The relay opens.", {}),
    ]


def test_each_language_is_read_and_copies_are_not(tmp_path: Path) -> None:
    (tmp_path / "talk.vtt").write_text(VTT)
    (tmp_path / "talk.srt").write_text(
        "1\n00:00:00,000 --> 00:00:02,000\nThe relay opens. It closes again.\n"
    )
    (tmp_path / "talk.de.vtt").write_text(VTT.replace("The relay opens", "Das Relais öffnet"))
    (tmp_path / "talk.fr.vtt").write_text("no transcript")
    cues = [(0.0, 1.0, "Le relais s'ouvre.")]
    data = film_of(subtitles=[("subrip", "eng", CUES), ("subrip", "fre", cues)])
    reading = _read(tmp_path, data)
    headings = [block.text for block in _of_kind(reading, "heading")]
    assert headings == ["Subtitles (talk.vtt)", "Subtitles (de, talk.de.vtt)", "Subtitles (fre)"]
    text = " ".join(block.text for block in reading.blocks)
    assert (text.count("The relay opens"), text.count("öffnet"), text.count("ouvre")) == (1, 1, 1)
    assert reading.problems == ()


def test_an_ignored_transcript_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "talk.vtt").write_text(VTT)
    (tmp_path / ".mmragignore").write_text("*.vtt\n")
    assert "opens" not in " ".join(block.text for block in _read(tmp_path, film_of()).blocks)


def test_a_broken_film_with_a_transcript_is_partial(tmp_path: Path) -> None:
    (tmp_path / "talk.vtt").write_text(VTT)
    reading = _read(tmp_path, film_of("mp4")[:200], name="talk.mp4")
    assert reading.blocks[-1].text == "The relay opens. It closes again."
    assert "broken or cut off" in reading.problems[0]


def test_a_broken_film_is_corrupt(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="broken or cut off"):
        _read(tmp_path, film_of("mp4")[:200], name="talk.mp4")


@pytest.mark.parametrize(("form", "name"), [("mp4", "a.mp4"), ("matroska", "a.mkv")])
def test_a_film_that_is_cut_off_is_partial(tmp_path: Path, form: str, name: str) -> None:
    data = film_of(form, tags=TAGS)
    (problem,) = _read(tmp_path, data[:-100], name=name).problems
    assert problem == f"It is cut off: it has {len(data) - 100} of the {len(data)} bytes that it should have."


def test_a_list_of_other_files_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(film_of("mp4", tags={"title": "Secret"}))
    for text in ("#EXTM3U\n#EXTINF:2,\nsecret.mp4\n", "ffconcat version 1.0\nfile secret.mp4\n"):
        for name in ("talk.mp4", "talk.mkv", "talk.mp3", "talk.mpg"):
            with pytest.raises(Corrupt):
                _read(tmp_path, text.encode(), name=name)


def test_without_the_package_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = film_of()
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match="mmrag\\[media\\]"):
        _read(tmp_path, data)


def test_without_the_package_a_transcript_is_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "talk.vtt").write_text(VTT)
    data = film_of(tags=TAGS)
    monkeypatch.setitem(sys.modules, "av", None)
    reading = _read(tmp_path, data)
    assert reading.blocks[-1].text == "The relay opens. It closes again."
    assert "mmrag[media]" in reading.problems[0]


def test_the_module_can_be_imported_without_the_package() -> None:
    code = "import sys; sys.modules['av'] = None; import mmrag.corpus.readers.recordings.recording"
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_covers_are_figures_of_the_whole_file(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (200, 200), "red").save(picture, "PNG")
    data = _id3_picture(picture.getvalue()) + tone_of("mp3", "libmp3lame")
    reading = _read(tmp_path, data, name="song.mp3")
    (figure,) = _of_kind(reading, "figure")
    assert figure.parts[0].media == digest_bytes(picture.getvalue()) == reading.blobs[0].digest
    assert figure.metadata == {PLACE: ""}
    assert reading.problems == ()
    assert "OCR" in _read(tmp_path, data, name="song.mp3", ocr=False).problems[0]


def test_chapters_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    chapters = [(f"Part {i}", i / 100, (i + 1) / 100) for i in range(50)]
    reading = _read(tmp_path, film_of(chapters=chapters), limits=ReadLimits(max_pages=20))
    assert len(_of_kind(reading, "heading")) == 20
    assert reading.problems == ("Only the first 20 of 50 chapters were read.",)


class _Opened:
    """A container as PyAV would show a hostile one."""

    def __init__(self, duration: object, chapters: list[dict[str, object]]) -> None:
        self.format = SimpleNamespace(name="matroska")
        self.duration = duration
        self.metadata = {"TITLE": "Odd\x00", "comment": " \x00"}
        sound = {"type": "audio", "index": 0, "disposition": 0, "codec_context": None}
        self.streams = [SimpleNamespace(**sound, metadata={"language": "und"})]
        self._chapters = chapters

    def chapters(self) -> list[dict[str, object]]:
        return self._chapters


def _lie(duration: object, *chapters: tuple[int, int]) -> Container:
    listed = [
        {"start": start, "end": end, "time_base": Fraction(1, 1000), "metadata": {}}
        for start, end in chapters
    ]
    source = Source(SourceId("a.mkv"), "", 1, "video/x-matroska")
    return _contents(av, _Opened(duration, listed), source, ReadContext(Path()))


@pytest.mark.parametrize("duration", [None, -5, 10**18, 2**63 - 1, -(2**63)])
def test_a_length_that_cannot_be_is_not_known(duration: object) -> None:
    assert _lie(duration).duration == 0.0


def test_chapters_that_lie_are_put_in_order() -> None:
    found = _lie(60_000_000, (30_000, 90_000), (-5, 10), (50_000, 20_000), (10_000, 10_000)).chapters
    assert [(c.title, c.start, c.end) for c in found] == [
        ("Chapter 2", 0.0, 0.01),
        ("Chapter 4", 10.0, 30.0),
        ("Chapter 1", 30.0, 50.0),
        ("Chapter 3", 50.0, 60.0),
    ]


def test_empty_tags_and_unnamed_languages_say_nothing() -> None:
    found = _lie(None)
    assert found.tags == {"title": "Odd"}
    assert found.streams[0].language == ""


def test_more_words_than_the_limit_are_refused(tmp_path: Path) -> None:
    data = film_of(subtitles=[("subrip", "eng", [(0.0, 1.0, "word " * 100)])])
    with pytest.raises(TooLarge):
        _read(tmp_path, data, limits=ReadLimits(max_text_bytes=200))


def test_nothing_is_said_on_the_screen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = film_of("mp4", subtitles=[("mov_text", "eng", CUES)])
    for cut in (len(data), len(data) - 200, 900, 100):
        try:
            _read(tmp_path, data[:cut], name="talk.mp4")
        except Corrupt:
            continue
    assert capfd.readouterr() == ("", "")


def test_progress_is_told_in_megabytes(tmp_path: Path) -> None:
    said: list[tuple[int, int]] = []
    watched = _Watched(io.BytesIO(bytes(3 << 20)), 3 << 20, lambda done, total: said.append((done, total)))
    while watched.read(1 << 18):
        pass
    assert said == [(1, 3), (2, 3), (3, 3)]


def test_a_place_before_the_file_is_no_exception_within_ffmpeg() -> None:
    watched = _Watched(io.BytesIO(b"abc"), 3, lambda done, total: None)
    assert watched.seek(-5) < 0
    assert watched.seek(2) == watched.tell() == 2
