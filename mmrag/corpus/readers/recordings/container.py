"""Open a container of sound or film: its tags, chapters, subtitle tracks and cover; no frame is decoded."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from mmrag.core.errors import Corrupt, TooLarge
from mmrag.core.protocols import ReadContext
from mmrag.core.types import Source
from mmrag.corpus.readers.recordings.container_size import declared_size
from mmrag.corpus.readers.recordings.cues import MAX_TIME_S, Cue, spoken

_DEMUXERS = {
    "video/mp4": "mov",
    "video/quicktime": "mov",
    "video/x-matroska": "matroska",
    "video/webm": "matroska",
    "video/x-msvideo": "avi",
    "video/x-ms-wmv": "asf",
    "audio/mpeg": "mp3",
    "audio/mp4": "mov",
    "audio/aac": "aac",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
    "audio/wav": "wav",
    "audio/aiff": "aiff",
    "audio/x-ms-wma": "asf",
}
"""Named, not guessed: a play list inside a .mp4 would make FFmpeg open other files and the network."""
_MPEG = {b"\x00\x00\x01\xba": "mpeg", b"\x00\x00\x01\xb3": "mpegvideo"}

_BITMAPS = frozenset(
    {"dvdsub", "dvd_subtitle", "pgssub", "hdmv_pgs_subtitle", "dvbsub", "dvb_subtitle", "xsub"}
)
_UNKNOWN_LANGUAGE = ("", "und")
_BUFFER_BYTES = 1 << 18
_MB = 1 << 20
_MAX_COVERS = 8
_MAX_STREAMS = 64


@dataclass(frozen=True, slots=True)
class Chapter:
    """A named stretch.

    Units:
        Seconds from the beginning.
    """

    title: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Track:
    """The cues of one subtitle track or transcript; the language is a code, or '' when nobody says."""

    name: str
    language: str
    cues: tuple[Cue, ...]


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of pictures or sound; width and height are 0 for sound."""

    kind: str
    codec: str
    language: str
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Container:
    """What a container says about itself; `tags` have lower-case names.

    Units:
        duration in seconds, 0 when it is unknown.
    """

    tags: Mapping[str, str] = field(default_factory=dict)
    duration: float = 0.0
    streams: tuple[Stream, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    tracks: tuple[Track, ...] = ()
    covers: tuple[bytes, ...] = ()
    problems: tuple[str, ...] = ()


def open_container(av: ModuleType, path: Path, source: Source, context: ReadContext) -> Container:
    """Read what is around the pictures and the sound of a recording; `av` is the module PyAV.

    Raises:
        Corrupt: It cannot be opened, or holds neither pictures nor sound.
        TooLarge: Its words exceed `limits.max_text_bytes`.
    """
    with path.open("rb") as file:
        watched = _Watched(file, source.size, context.progress)
        try:
            opened = av.open(
                watched,
                format=_demuxer(source.media_type, file),
                metadata_errors="replace",
                buffer_size=_BUFFER_BYTES,
            )
        except (av.FFmpegError, OSError) as error:
            raise _broken(error, source) from error
        with opened:
            found = _contents(av, opened, source, context)
        declared = declared_size(file, source.media_type, source.size)
    if declared <= source.size:
        return found
    cut_off = f"It is cut off: it has {source.size} of the {declared} bytes that it should have."
    return replace(found, problems=(*found.problems, cut_off))


def _demuxer(media_type: str, file: BinaryIO) -> str:
    if media_type in _DEMUXERS:
        return _DEMUXERS[media_type]
    head = file.read(4)
    file.seek(0)
    return _MPEG.get(head, "mpegts")


def _broken(error: Exception, source: Source) -> Corrupt:
    said = getattr(error, "strerror", "") or str(error)
    return Corrupt(
        f"The recording is broken or cut off: {' '.join(str(said).split())[:100]}.",
        fix="Restore it from its source.",
        where=source.id,
    )


class _Watched:
    """A file that tells how far it was read: a film of some GB takes minutes to be searched for subtitles."""

    def __init__(self, file: BinaryIO, size: int, progress: Callable[[int, int], None]) -> None:
        self._file = file
        self._total = size // _MB
        self._progress = progress
        self._said = 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        data = self._file.read(size)
        done = self._file.tell() // _MB
        if done != self._said:
            self._said = done
            self._progress(min(done, self._total), self._total)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place and return it; a negative number says that there is none, as FFmpeg does.

        An exception here would be printed, not raised: PyAV calls this from within FFmpeg.
        """
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -errno.EINVAL

    def tell(self) -> int:
        """Return the place."""
        return self._file.tell()


def _contents(av: ModuleType, opened: Any, source: Source, context: ReadContext) -> Container:
    seen = list(islice(opened.streams, _MAX_STREAMS))
    covers = [s for s in seen if s.type == "video" and _is_cover(av, s)]
    media = tuple(_stream(s) for s in seen if s.type in ("video", "audio") and s not in covers)
    if not media:
        raise Corrupt(
            "The recording holds neither pictures nor sound.",
            fix="Restore it from its source, or leave it out with a line in .mmragignore.",
            where=source.id,
        )
    tags = _tags(opened, seen)
    duration = _time(opened.duration, 1 / av.time_base)
    chapters, problems = _chapters(opened, duration, context.limits.max_pages)
    subtitles = [s for s in seen if s.type == "subtitle"]
    texts = [s for s in subtitles if _codec(s) and _codec(s) not in _BITMAPS]
    pictured = [s for s in subtitles if _codec(s) in _BITMAPS]
    if pictured:
        problems.append(
            f"{len(pictured)} subtitle tracks are pictures and were not read "
            f"({', '.join(_language(s) or 'unknown' for s in pictured)})."
        )
    room = context.limits.max_text_bytes - sum(map(len, tags.values())) - sum(len(c.title) for c in chapters)
    if room < 0:
        raise _too_wordy(source, context)
    demuxed = _demuxed(av, opened, texts, covers[:_MAX_COVERS], room)
    if demuxed is None:
        raise _too_wordy(source, context)
    cues, pictures, broken = demuxed
    problems += broken
    tracks = tuple(
        Track(_title(s), _language(s), tuple(_timed(cues[s.index]))) for s in texts if cues[s.index]
    )
    return Container(tags, duration, media, tuple(chapters), tracks, tuple(pictures), tuple(problems))


def _too_wordy(source: Source, context: ReadContext) -> TooLarge:
    return TooLarge(
        f"The words in the recording exceed the limit of {context.limits.max_text_bytes} bytes.",
        fix="Leave it out with a line in .mmragignore.",
        where=source.id,
    )


def _demuxed(
    av: ModuleType, opened: Any, texts: list[Any], covers: list[Any], room: int
) -> tuple[dict[int, list[Cue]], list[bytes], list[str]] | None:
    """Return the cues by stream, the covers, and where the file broke; None if the cues exceed `room`."""
    cues: dict[int, list[Cue]] = {s.index: [] for s in texts}
    pictures: list[bytes] = []
    wanted, waiting = [*texts, *covers], {s.index for s in covers}
    if not wanted:
        return cues, pictures, []
    for stream in opened.streams:
        # Without this, the bytes of all frames are copied; older versions of PyAV do not know it.
        if stream not in wanted and hasattr(stream, "discard"):
            stream.discard = av.stream.Discard.all
    try:
        for packet in opened.demux(wanted):
            index = packet.stream_index
            if index in waiting:
                waiting.discard(index)
                pictures.append(bytes(packet))
            elif index in cues and packet.pts is not None and packet.size:
                room -= packet.size
                if room < 0:
                    return None
                cues[index] += _cues_of(packet)
            if not texts and not waiting:
                break
    except (av.FFmpegError, OSError):
        said = max((found[-1].start for found in cues.values() if found), default=0.0)
        return cues, pictures, [f"It is broken after second {said:.0f}: what comes later was not read."]
    return cues, pictures, []


def _cues_of(packet: Any) -> list[Cue]:
    data, codec = bytes(packet), _codec(packet.stream)
    start = _time(packet.pts, packet.time_base)
    end = start + _time(packet.duration, packet.time_base)
    speaker = ""
    if codec == "mov_text":
        # Two bytes of length, the words, boxes of style.
        data = data[2 : 2 + int.from_bytes(data[:2], "big")]
    if data[:2] in (b"\xfe\xff", b"\xff\xfe"):
        words = data.decode("utf-16", "replace")
    else:
        words = data.decode("utf-8", "replace")
    if codec in ("ass", "ssa"):
        fields = words.split(",", 8)
        speaker, words = (fields[3].strip(), fields[8]) if len(fields) == 9 else ("", "")
    return [replace(cue, speaker=cue.speaker or speaker) for cue in spoken(words, start, end)]


def _timed(cues: Iterable[Cue]) -> Iterator[Cue]:
    """Yield cues in order; one whose end nobody says lasts until the next, at most five seconds."""
    ordered = sorted(cues, key=lambda cue: cue.start)
    for cue, after in zip(ordered, [*ordered[1:], None], strict=False):
        if cue.end > cue.start:
            yield cue
        else:
            yield replace(cue, end=min(cue.start + 5, after.start if after else cue.start + 5))


def _chapters(opened: Any, duration: float, most: int) -> tuple[list[Chapter], list[str]]:
    found = []
    listed = opened.chapters()
    for number, chapter in enumerate(listed[:most], 1):
        start, end = (_time(chapter[key], chapter["time_base"]) for key in ("start", "end"))
        title = " ".join(dict(chapter["metadata"]).get("title", "").split()) or f"Chapter {number}"
        found.append(Chapter(title, start, end))
    found.sort(key=lambda chapter: chapter.start)
    closed = []
    for chapter, after in zip(found, [*found[1:], None], strict=False):
        latest = after.start if after else max(duration, chapter.end)
        end = min(chapter.end, latest) if chapter.end > chapter.start else latest
        closed.append(replace(chapter, end=max(end, chapter.start)))
    problems = [f"Only the first {most} of {len(listed)} chapters were read."] if len(listed) > most else []
    return closed, problems


def _tags(opened: Any, streams: list[Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    # Ogg keeps the tags of a song with its sound.
    of_streams = [s.metadata for s in streams if s.type == "audio"] if opened.format.name == "ogg" else []
    for metadata in (opened.metadata, *of_streams):
        for key, value in metadata.items():
            if value.strip("\x00 \t\r\n"):
                found.setdefault(key.lower(), value.replace("\x00", " ").strip())
    return found


def _stream(stream: Any) -> Stream:
    codec = stream.codec_context
    width, height = (getattr(codec, side, 0) or 0 for side in ("width", "height"))
    return Stream(stream.type, _codec(stream), _language(stream), width, height)


def _codec(stream: Any) -> str:
    # A stream whose codec this build does not know has no context.
    context = stream.codec_context
    return str(context.codec.canonical_name) if context is not None else ""


def _is_cover(av: ModuleType, stream: Any) -> bool:
    return bool(av.stream.Disposition.attached_pic & stream.disposition)


def _language(stream: Any) -> str:
    language = (stream.metadata.get("language") or "").lower().strip()
    return "" if language in _UNKNOWN_LANGUAGE else language[:16]


def _title(stream: Any) -> str:
    return " ".join((stream.metadata.get("title") or "").split())[:100]


def _time(ticks: int | None, unit: Any) -> float:
    """Return seconds; what no recording can have counts as 0."""
    seconds = float(ticks * unit) if ticks is not None and unit else 0.0
    return round(seconds, 3) if 0 < seconds <= MAX_TIME_S else 0.0
