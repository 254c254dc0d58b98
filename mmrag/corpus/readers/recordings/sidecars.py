"""Recordings and the transcripts beside them: which file names belong together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mmrag.core.errors import ConfigError
from mmrag.core.reading import Format
from mmrag.corpus.ignore import IGNORE_FILE, IgnoreRules

TRANSCRIPTS = (
    Format("text/vtt", "a WebVTT transcript", (".vtt",)),
    Format("application/x-subrip", "an SRT subtitle file", (".srt",)),
)

_ISO = rb"[\x00-\x08].{3}(?:ftyp|moov|mdat|free|skip|wide|pnot)"
"""The box that begins an MP4 or QuickTime file; a text never begins with such a control character."""
_EBML = rb"\x1a\x45\xdf\xa3"
_ASF = rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"
_ID3 = rb"ID3[\x02-\x04]"
# Layers III and II only: \xff\xfe, the mark of UTF-16, would be layer I.
_MPEG_AUDIO = rb"\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd]"
_MPEG_VIDEO = rb"\x00\x00\x01[\xb3\xba]|G(?:.{187}G){4}"

RECORDINGS = (
    Format("video/mp4", "an MP4 film", (".mp4", ".m4v"), _ISO),
    Format("video/quicktime", "a QuickTime film", (".mov",), _ISO),
    Format("video/x-matroska", "a Matroska film", (".mkv",), _EBML),
    Format("video/webm", "a WebM film", (".webm",), _EBML),
    Format("video/x-msvideo", "an AVI film", (".avi",), rb"RIFF.{4}AVI "),
    Format("video/mpeg", "an MPEG film", (".mpg", ".mpeg"), _MPEG_VIDEO),
    Format("video/x-ms-wmv", "a Windows Media film", (".wmv",), _ASF),
    Format("audio/mpeg", "an MP3 recording", (".mp3",), rb"\x00{0,4096}(?:%b|%b)" % (_ID3, _MPEG_AUDIO)),
    Format("audio/mp4", "an MPEG-4 recording", (".m4a", ".m4b"), _ISO),
    Format("audio/aac", "an AAC recording", (".aac",), rb"\xff[\xf0\xf1\xf8\xf9]|ADIF|" + _ID3),
    Format("audio/ogg", "an Ogg recording", (".ogg", ".oga", ".opus"), rb"OggS\x00"),
    Format("audio/flac", "a FLAC recording", (".flac",), rb"fLaC[\x00\x80]|" + _ID3),
    Format("audio/wav", "a WAVE recording", (".wav",), rb"(?:RIFF|RF64|BW64).{4}WAVE"),
    Format("audio/aiff", "an AIFF recording", (".aiff", ".aif"), rb"FORM.{4}AIF[FC]"),
    Format("audio/x-ms-wma", "a Windows Media recording", (".wma",), _ASF),
)
"""What counts as a film or sound, best first: of `talk.mp4` and `talk.mp3` the film owns `talk.vtt`."""

_ENGLISH_FIRST = """
    en ar bg bn ca cs da de el es et fa fi fr he hi hr hu id is it ja ko lt lv ms nb nl no pl pt ro ru
    sk sl sr sv ta th tr uk ur vi zh
"""
LANGUAGES = tuple(_ENGLISH_FIRST.split())
"""The languages that a transcript's name may say, as in `talk.de.vtt`, English first.

A closed list, so that a film can depend on the transcripts that are not there yet; one with another
name is a source of its own.
"""

_BY_SUFFIX = {suffix: known for known in RECORDINGS for suffix in known.suffixes}
_SUFFIXES = tuple(suffix for known in TRANSCRIPTS for suffix in known.suffixes)
_HEAD_BYTES = 8192


def sidecars_of(source_id: str) -> list[tuple[str, str]]:
    """Return the transcripts that a recording would have, with their languages, best first.

    One whose name says no language comes first, then English, then the others by code.
    """
    stem = PurePosixPath(source_id).with_suffix("")
    return [
        (f"{stem}{tag}{suffix}", tag[1:])
        for tag in ("", *(f".{language}" for language in LANGUAGES))
        for suffix in _SUFFIXES
    ]


def recordings_of(source_id: str) -> list[str]:
    """Return the recordings that a transcript could belong to, best first."""
    stems = [PurePosixPath(source_id).with_suffix("")]
    if stems[0].suffix[1:] in LANGUAGES:
        stems.append(stems[0].with_suffix(""))
    # Cameras write upper case.
    return [
        f"{stem}{written}" for stem in stems for suffix in _BY_SUFFIX for written in (suffix, suffix.upper())
    ]


def recording_of(source_id: str, root: Path) -> str:
    """Return the recording in the corpus that a transcript belongs to, '' if there is none.

    A file that only has the name, such as a git-lfs pointer, or that is left out of the corpus, would
    swallow the transcript's words.
    """
    for candidate in recordings_of(source_id):
        if (
            _begins_right(root / candidate)
            and source_id in dict(sidecars_of(candidate))
            and is_in_corpus(candidate, root)
        ):
            return candidate
    return ""


def is_in_corpus(source_id: str, root: Path) -> bool:
    """Tell whether a file is there and no ignore file leaves it out."""
    if not (root / source_id).is_file():
        return False
    try:
        rules = IgnoreRules.at_root(root)
        for folder in [str(parent) for parent in reversed(PurePosixPath(source_id).parents)][1:]:
            if rules.ignores(folder, folder=True):
                return False
            rules = rules.inside(root / folder, f"{folder}/")
    except ConfigError:
        return True
    return not rules.ignores(source_id, folder=False)


def ignore_files(source_id: str) -> Iterator[str]:
    """Yield the ignore files that decide whether the neighbours of a source are in the corpus."""
    yield from (str(folder / IGNORE_FILE) for folder in reversed(PurePosixPath(source_id).parents))


def _begins_right(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, ValueError):
        return False
    known = _BY_SUFFIX[path.suffix.lower()]
    return re.compile(known.magic, re.DOTALL).match(head) is not None
