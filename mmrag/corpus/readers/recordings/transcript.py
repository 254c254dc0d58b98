"""Read transcripts and subtitles: what is said, and when."""

from __future__ import annotations

from pathlib import Path

from mmrag.core.errors import Corrupt, Empty
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import About, Reading
from mmrag.core.types import Source
from mmrag.corpus.readers.decode import decode, read_bytes
from mmrag.corpus.readers.recordings.cues import Cue, paragraphs, parse_cues, without_repeats
from mmrag.corpus.readers.recordings.sidecars import TRANSCRIPTS, ignore_files, recording_of, recordings_of


class TranscriptReader:
    """Reads WebVTT and SRT."""

    name = "transcript"
    version = 1
    formats = TRANSCRIPTS
    about = (
        About(
            "Transcripts and subtitles (.vtt, .srt)",
            "the words with their times and speakers, in paragraphs of half a minute to a minute; "
            "a transcript beside its film (talk.vtt or talk.en.vtt beside talk.mp4) is read with the film",
            "comments, styles and positions",
        ),
    )

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        """Read a transcript, unless it stands beside its recording, which then holds its words.

        Raises:
            Corrupt: It is binary, or no line of it is a timing.
            Empty: Nothing is said in it.
            TooLarge: It exceeds `limits.max_text_bytes`.
        """
        cues, problems = read_cues(path, source.id, context)
        depends = (*recordings_of(source.id), *ignore_files(source.id))
        recording = recording_of(source.id, context.root)
        if recording:
            return Reading((), depends=depends, read_with=recording)
        return Reading(tuple(paragraphs(cues)), problems=problems, depends=depends)


def read_cues(path: Path, name: str, context: ReadContext) -> tuple[list[Cue], tuple[str, ...]]:
    """Return the cues of a transcript, and what is doubtful about its letters.

    Raises:
        Corrupt: It is binary, or no line of it is a timing.
        Empty: Nothing is said in it.
        TooLarge: It exceeds `limits.max_text_bytes`.
    """
    decoded = decode(read_bytes(path, context.limits), name=name)
    cues = parse_cues(decoded.text)
    words = decoded.text.lstrip("\ufeff").strip()
    if cues is None and words and not words.startswith("WEBVTT"):
        raise Corrupt(
            "The file is no transcript: no line of it says from when to when.",
            fix="Restore it from its source, or rename it to .txt.",
            where=name,
        )
    if not cues:
        raise Empty(
            "The transcript holds no words.", fix="Nothing to do, or restore its content.", where=name
        )
    return without_repeats(cues), decoded.problems
