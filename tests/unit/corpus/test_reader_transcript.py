from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrag.core.errors import Corrupt, Empty
from mmrag.core.identity import digest_bytes
from mmrag.core.protocols import ReadContext, Reader
from mmrag.core.reading import Reading
from mmrag.core.types import Place, Source, SourceId, TimeRange
from mmrag.corpus.readers.recordings.cues import Cue, paragraphs, parse_cues, without_repeats
from mmrag.corpus.readers.recordings.sidecars import LANGUAGES, recordings_of, sidecars_of
from mmrag.corpus.readers.recordings.transcript import TranscriptReader
from mmrag.testing import ReaderContract

VTT = """\
WEBVTT - The relay
Kind: captions

STYLE
::cue { color: red }

NOTE
Nobody hears this.

intro
00:00.500 --> 00:04.000 align:start position:0%
<v Ann Bee>Welcome to the <i>Halden</i> relay.</v>

00:00:04.000 --> 00:00:07.250
<v.loud Bo>It lasts <00:00:05.000><c.yellow>24</c> months, &lt;or more&gt;.
"""

SRT = (
    "\ufeff1\r\n00:00:00,500 --> 00:00:04,000\r\n{\\an8}Welcome to the <i>Halden</i>\r\nrelay.\r\n\r\n"
    "7\r\n0:00:04.000 --> 0:00:07.25\r\nIt lasts 24 months.\r\n"
    "3\r\n00:00:08,000 --> 00:00:09,000\r\nGood bye.\r\n"
)


def _read(folder: Path, data: str | bytes, *, name: str = "talk.vtt") -> Reading:
    raw = data.encode() if isinstance(data, str) else data
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    kind = "text/vtt" if name.endswith(".vtt") else "application/x-subrip"
    return TranscriptReader().read(
        path, Source(SourceId(name), digest_bytes(raw), len(raw), kind), ReadContext(folder)
    )


def _texts(reading: Reading) -> list[str]:
    return [block.text for block in reading.blocks]


def _film(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\x00\x00\x00\x18ftypisom" + b"\x00" * 20)


class TestVtt(ReaderContract):
    media_type = "text/vtt"
    words = ("Halden", "24 months", "Ann Bee")

    def make(self) -> Reader:
        return TranscriptReader()

    def write_samples(self, folder: Path) -> list[Path]:
        path = folder / "talk.vtt"
        path.write_text(VTT, encoding="utf-8")
        return [path]


class TestSrt(ReaderContract):
    media_type = "application/x-subrip"
    words = ("Halden", "24 months", "Good bye")

    def make(self) -> Reader:
        return TranscriptReader()

    def write_samples(self, folder: Path) -> list[Path]:
        path = folder / "talk.srt"
        path.write_text(SRT, encoding="utf-8", newline="")
        return [path]


def test_speakers_stand_before_their_words_with_the_times_of_the_cues(tmp_path: Path) -> None:
    first, second = _read(tmp_path, VTT).blocks
    assert first.text == "Ann Bee: Welcome to the Halden relay."
    assert first.locator == TimeRange(0.5, 4.0)
    assert second.text == "Bo: It lasts 24 months, <or more>."
    assert second.parts[0].places == (Place(0, len(second.text), TimeRange(4.0, 7.25)),)


def test_srt_may_have_wrong_numbers_and_no_empty_lines(tmp_path: Path) -> None:
    (block,) = _read(tmp_path, SRT, name="talk.srt").blocks
    assert block.text == "Welcome to the Halden relay. It lasts 24 months. Good bye."
    assert [place.locator for place in block.parts[0].places] == [
        TimeRange(0.5, 4.0),
        TimeRange(4.0, 7.25),
        TimeRange(8.0, 9.0),
    ]


def test_an_empty_line_within_an_srt_cue_does_not_end_it(tmp_path: Path) -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nOne\n\nTwo\n\n2\n00:00:02,000 --> 00:00:03,000\nThree\n"
    assert _texts(_read(tmp_path, text, name="a.srt")) == ["One Two Three"]


def test_rolling_captions_are_said_once(tmp_path: Path) -> None:
    text = "WEBVTT\n\n"
    lines = ["so this is the relay", "it opens at once", "and it closes again", "when the power is back"]
    for i, line in enumerate(lines):
        before = lines[i - 1] if i else " "
        text += f"00:0{i}.000 --> 00:0{i}.990\n{before}\n<00:0{i}.200><c>{line}</c>\n\n"
        text += f"00:0{i}.990 --> 00:0{i + 1}.000\n{line}\n \n\n"
    (block,) = _read(tmp_path, text).blocks
    assert block.text == " ".join(lines)
    assert block.parts[0].places[1].locator == TimeRange(1.0, 1.99)


def test_captions_that_grow_word_by_word_are_said_once() -> None:
    cues = [Cue(i, i + 1, " ".join(["open", "the", "lower", "valve"][: i + 1])) for i in range(4)]
    assert [cue.text for cue in without_repeats(cues)] == ["open", "the", "lower", "valve"]


def test_a_word_said_twice_stays_where_captions_do_not_roll() -> None:
    cues = [Cue(i, i + 1, text) for i, text in enumerate(["No.", "No.", "Yes, it does.", "Why?", "Look."])]
    assert without_repeats(cues) == cues


def test_paragraphs_end_at_a_sentence_after_half_a_minute_or_a_pause() -> None:
    cues = [Cue(5.0 * i, 5.0 * i + 5, "Words go on," if i % 4 else "and end.") for i in range(20)]
    cues += [Cue(200, 205, "After the pause.")]
    made = list(paragraphs(cues))
    lengths = [b.locator.end - b.locator.start for b in made if isinstance(b.locator, TimeRange)]
    assert made[-1].text == "After the pause."
    assert all(30 <= length <= 60 for length in lengths[:-2])
    assert all(block.text.endswith("and end.") for block in made[:-2])


def test_cues_out_of_order_are_sorted_and_overlapping_ones_kept(tmp_path: Path) -> None:
    text = (
        "WEBVTT\n\n00:05.000 --> 00:09.000\nSecond.\n\n00:01.000 --> 00:08.000\nFirst.\n\n"
        "00:09.000 --> 00:02.000\nBackwards.\n"
    )
    (block,) = _read(tmp_path, text).blocks
    assert block.text == "First. Second. Backwards."
    assert block.locator == TimeRange(1.0, 9.0)


def test_windows_1252_is_read_with_a_note(tmp_path: Path) -> None:
    reading = _read(tmp_path, "1\n00:00:01,000 --> 00:00:02,000\nGrüße\n".encode("cp1252"), name="a.srt")
    assert _texts(reading) == ["Grüße"]
    assert "cp1252" in reading.problems[0]


@pytest.mark.parametrize("text", ["", "\n \n", "WEBVTT\n", "WEBVTT\n\n00:01.000 --> 00:02.000\n<i></i>\n"])
def test_a_transcript_without_words_is_empty(tmp_path: Path, text: str) -> None:
    with pytest.raises(Empty):
        _read(tmp_path, text)


def test_a_text_without_times_is_no_transcript(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="no transcript"):
        _read(tmp_path, "Dear Ann,\nthe relay --> here.\n")


def test_times_no_film_can_have_are_left_out() -> None:
    assert parse_cues("999999:00:00,000 --> 999999:00:01,000\nNever.\n") == []


@given(st.text(alphabet="0123456789:,.-> \n<v>ab{}\\&;", max_size=300))
def test_any_text_is_parsed(text: str) -> None:
    for cue in parse_cues("00:01.000 --> 00:02.000\n" + text) or []:
        assert 0 <= cue.start <= cue.end
        assert cue.text.strip()


def test_hostile_markup_takes_no_time() -> None:
    hostile = "<v" * 100_000 + "{\\" * 50_000 + " " * 100_000 + "&" * 50_000
    assert parse_cues(f"WEBVTT\n\n00:01.000 --> 00:02.000\n{hostile}\n")


def test_beside_its_film_a_transcript_is_read_with_it(tmp_path: Path) -> None:
    _film(tmp_path, "talk.mp4")
    for name in ("talk.vtt", "talk.srt", "talk.en.vtt", "talk.de.srt"):
        reading = _read(tmp_path, VTT, name=name)
        assert (reading.blocks, reading.read_with) == ((), "talk.mp4")
        assert "talk.mp4" in reading.depends


def test_a_film_that_may_come_is_depended_on(tmp_path: Path) -> None:
    reading = _read(tmp_path, VTT, name="2024/talk.en.vtt")
    assert reading.read_with == ""
    assert {"2024/talk.mp4", "2024/talk.en.mkv", "2024/talk.MOV", ".mmragignore"} <= set(reading.depends)


def test_the_film_in_upper_case_counts(tmp_path: Path) -> None:
    _film(tmp_path, "talk.MP4")
    assert _read(tmp_path, VTT).read_with == "talk.MP4"


@pytest.mark.parametrize("language", ["english", "en-US", "part2"])
def test_a_name_that_the_film_does_not_look_for_is_a_source_of_its_own(tmp_path: Path, language: str) -> None:
    _film(tmp_path, "talk.mp4")
    reading = _read(tmp_path, VTT, name=f"talk.{language}.vtt")
    assert reading.blocks
    assert reading.read_with == ""


def test_what_only_has_the_name_of_a_film_swallows_no_words(tmp_path: Path) -> None:
    (tmp_path / "talk.mp4").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "talk.mkv").write_bytes(b"")
    (tmp_path / "talk.webm").mkdir()
    assert _read(tmp_path, VTT).blocks


@pytest.mark.parametrize("pattern", ["*.mp4", "/films/", "films/talk.*4"])
def test_an_ignored_film_swallows_no_words(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "films").mkdir()
    _film(tmp_path, "films/talk.mp4")
    (tmp_path / ".mmragignore").write_text(pattern + "\n")
    reading = _read(tmp_path, VTT, name="films/talk.vtt")
    assert reading.blocks
    assert {".mmragignore", "films/.mmragignore"} <= set(reading.depends)


def test_films_and_transcripts_find_each_other() -> None:
    for film in ("a/talk.mp4", "v1.2.mkv"):
        sidecars = [name for name, _ in sidecars_of(film)]
        assert len(sidecars) == 2 * (1 + len(LANGUAGES))
        assert all(film in recordings_of(name) for name in sidecars)
    assert sidecars_of("talk.mp4")[:3] == [("talk.vtt", ""), ("talk.srt", ""), ("talk.en.vtt", "en")]


def test_short_cues_at_the_same_time_are_measured_once_each() -> None:
    measured = 0

    class Word(str):
        def __len__(self) -> int:
            nonlocal measured
            measured += 1
            return super().__len__()

    cues = [Cue(0.0, 5.0, Word("a")) for _ in range(4000)]
    assert len(list(paragraphs(cues))) == 3
    assert measured == 4000
