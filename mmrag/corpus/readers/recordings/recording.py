"""Read sound and film: tags, chapters, subtitle tracks and the transcripts beside them, by the clock."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mmrag.core.errors import MissingExtra, SourceError
from mmrag.core.fields import PLACE
from mmrag.core.lazy import require
from mmrag.core.protocols import ReadContext
from mmrag.core.reading import About, Block, Reading
from mmrag.core.types import Part, Scalar, Source, TimeRange
from mmrag.corpus.readers.figures import PictureShelf
from mmrag.corpus.readers.recordings.container import Chapter, Container, Stream, Track, open_container
from mmrag.corpus.readers.recordings.cues import paragraphs, without_repeats
from mmrag.corpus.readers.recordings.sidecars import RECORDINGS, ignore_files, is_in_corpus, sidecars_of
from mmrag.corpus.readers.recordings.transcript import read_cues

_SHORT_TAGS = {
    "title": "Title",
    "artist": "Artist",
    "album_artist": "Album artist",
    "composer": "Composer",
    "album": "Album",
    "show": "Show",
    "track": "Track",
    "date": "Date",
    "genre": "Genre",
    "publisher": "Publisher",
    "copyright": "Copyright",
}
_LONG_TAGS = ("description", "synopsis", "comment", "lyrics")
_MAX_SHORT_CHARS = 500
_DATE = re.compile(r"\d{4}(?:-\d{2}(?:-\d{2})?)?(?=$|[T ])")
_SAME_WORDS = 0.8
_WHOLE: dict[str, Scalar] = {PLACE: ""}
"""Tags and cover belong to the file, not to a second of it."""


class RecordingReader:
    """Reads audio and video with PyAV, without decoding a frame."""

    name = "recording"
    version = 1
    formats = RECORDINGS
    about = (
        About(
            "Audio and video (.mp3, .wav, .flac, .ogg, .m4a, .mp4, .mov, .mkv, .webm, .avi, ...)",
            "title and other tags, length, chapters, subtitle tracks, the transcripts beside it (talk.vtt, "
            "talk.srt or talk.en.vtt beside talk.mp4), cover pictures and the words in them",
            "what is to be seen and heard without subtitles; subtitles that are pictures",
            extra="media",
        ),
    )

    def read(self, path: Path, source: Source, context: ReadContext) -> Reading:
        """Read a recording; without PyAV, or when it is broken, the transcripts beside it still are.

        Raises:
            Corrupt: It cannot be opened, and no transcript stands beside it.
            TooLarge: Its words exceed `limits.max_text_bytes`.
            MissingExtra: PyAV is not installed, and no transcript stands beside it.
        """
        beside, depends, problems = _sidecars(source, context)
        try:
            av = require("av", extra="media", feature="Reading audio and video")
            inside = open_container(av, path, source, context)
        except (MissingExtra, SourceError) as error:
            if not beside:
                raise
            inside = Container()
            problems.append(f"Only the transcript beside it was read. {error.message} {error.fix}")
        tracks = list(_different([*beside, *inside.tracks]))
        shelf = PictureShelf(source, context)
        blocks = [*_facts(source, inside, tracks), *_covers(inside, shelf), *_speech(inside.chapters, tracks)]
        return Reading(
            tuple(blocks),
            title=_line(inside.tags.get("title", "")),
            blobs=tuple(shelf.blobs.values()),
            problems=(*problems, *inside.problems, *shelf.problems()),
            depends=depends,
            metadata=_metadata(inside),
        )


def _sidecars(source: Source, context: ReadContext) -> tuple[list[Track], tuple[str, ...], list[str]]:
    """Return the transcripts beside a recording, the files that matter to that, and what is doubtful."""
    candidates = sidecars_of(source.id)
    found, problems = [], []
    for name, language in candidates:
        if not is_in_corpus(name, context.root):
            continue
        try:
            cues, doubts = read_cues(context.root / name, name, context)
        except SourceError:
            continue  # The transcript is a source of its own, and fails with this reason.
        found.append(Track(name.rsplit("/", 1)[-1], language, tuple(cues)))
        problems += [f"{name.rsplit('/', 1)[-1]}: {doubt}" for doubt in doubts]
    return found, (*(name for name, _ in candidates), *ignore_files(source.id)), problems


def _different(tracks: Sequence[Track]) -> Iterator[Track]:
    """Yield the tracks that do not say what one before them says: talk.srt beside talk.vtt."""
    known: list[Counter[str]] = []
    for track in tracks:
        cues = without_repeats(track.cues)
        words = Counter(re.findall(r"\w+", " ".join(cue.text for cue in cues).casefold()))
        if any((words & other).total() >= _SAME_WORDS * max(words.total(), other.total()) for other in known):
            continue
        known.append(words)
        yield Track(track.name, track.language, tuple(cues))


def _facts(source: Source, inside: Container, tracks: Sequence[Track]) -> Iterator[Block]:
    """Yield what the container says about itself, as lines that a person would search for."""
    when = TimeRange(0.0, inside.duration or max((track.cues[-1].end for track in tracks), default=0.0))
    if title := _line(inside.tags.get("title", "")):
        yield Block("heading", when, (Part("text", text=title),), level=1, metadata=_WHOLE)
    kind = "Video" if source.kind == "video" else "Audio recording"
    sizes = [f"{len(inside.chapters)} chapters"] if inside.chapters else []
    lines = [", ".join([kind, *([_length(inside.duration)] if inside.duration else []), *sizes])]
    lines += [
        f"{name}: {_line(inside.tags[key])}" for key, name in _SHORT_TAGS.items() if inside.tags.get(key)
    ]
    pictures = [f"{s.codec} {s.width} x {s.height}".strip() for s in inside.streams if s.kind == "video"]
    sounds = [_sound(s) for s in inside.streams if s.kind == "audio"]
    spoken = list(filter(None, (track.language for track in tracks))) or ["yes"] * bool(tracks)
    for name, said in (("Pictures", pictures), ("Sound", sounds), ("Subtitles", spoken)):
        if said:
            lines.append(f"{name}: {', '.join(said)}")
    yield Block("paragraph", when, (Part("text", text="\n".join(lines)),), metadata=_WHOLE)
    for words in dict.fromkeys(_long_tags(inside)):
        yield Block("paragraph", when, (Part("text", text=words),), metadata=_WHOLE)


def _long_tags(inside: Container) -> Iterator[str]:
    """Yield what is told about the recording, and its lyrics ("lyrics-eng")."""
    for wanted in _LONG_TAGS:
        for key in sorted(inside.tags):
            if key.split("-")[0] == wanted:
                rows = (" ".join(row.split()) for row in inside.tags[key].splitlines())
                yield "\n".join(filter(None, rows))


def _covers(inside: Container, shelf: PictureShelf) -> Iterator[Block]:
    for number, data in enumerate(inside.covers, 1):
        name = f"cover {number}" if number > 1 else "cover"
        figure = shelf.picture(data, TimeRange(0.0, inside.duration), name=name, alt=name)
        if figure is not None:
            yield replace(figure, metadata=_WHOLE)


def _speech(chapters: Sequence[Chapter], tracks: Sequence[Track]) -> Iterator[Block]:
    """Yield the words of each track under the chapters that they are said in.

    The words always stand under a heading: they must not share a passage with the tags.
    """
    if not tracks:
        yield from (_heading(chapter.title, chapter, 2) for chapter in chapters)
    for track in tracks:
        level = 2
        if len(tracks) > 1:
            whole = Chapter(_label(track), track.cues[0].start, max(cue.end for cue in track.cues))
            yield _heading(whole.title, whole, level)
            level = 3
        starts, at = [cue.start for cue in track.cues], 0
        for chapter, until in _sections(chapters):
            first, at = at, bisect_left(starts, until, at)
            own = track.cues[first:at]
            if chapter is not None:
                yield _heading(chapter.title, chapter, level)
            elif own and level == 2:
                yield _heading("Transcript", Chapter("", own[0].start, own[-1].end), level)
            yield from paragraphs(own)


def _sections(chapters: Sequence[Chapter]) -> Iterator[tuple[Chapter | None, float]]:
    """Yield what comes before the first chapter, then each chapter, with the time at which it ends."""
    starts = [*(chapter.start for chapter in chapters), float("inf")]
    yield from zip([None, *chapters], starts, strict=True)


def _heading(title: str, chapter: Chapter, level: int) -> Block:
    when = TimeRange(chapter.start, max(chapter.start, chapter.end))
    return Block("heading", when, (Part("text", text=title),), level=level)


def _label(track: Track) -> str:
    said = ", ".join(dict.fromkeys(filter(None, (track.language, track.name))))
    return f"Subtitles ({said})" if said else "Subtitles"


def _sound(stream: Stream) -> str:
    return f"{stream.codec} ({stream.language})" if stream.language else stream.codec


def _metadata(inside: Container) -> dict[str, Scalar]:
    found: dict[str, Scalar] = {}
    if inside.duration:
        found["duration_s"] = inside.duration
    for key in ("artist", "album", "genre"):
        if value := _line(inside.tags.get(key, "")):
            found[key] = value
    if date := _DATE.match(inside.tags.get("date", "") or inside.tags.get("creation_time", "")):
        found["created"] = date.group()
    if picture := next((s for s in inside.streams if s.width and s.height), None):
        found["width"], found["height"] = picture.width, picture.height
    return found


def _line(text: str) -> str:
    return " ".join(text.split())[:_MAX_SHORT_CHARS]


def _length(seconds: float) -> str:
    """Say a duration: '1 h 2 min', '12 min 30 s', '8 s'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    said = [(hours, "h"), (minutes, "min"), (rest if not hours else 0, "s")]
    return " ".join(f"{count} {unit}" for count, unit in said if count) or "less than a second"
