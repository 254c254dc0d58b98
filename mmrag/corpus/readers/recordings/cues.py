"""Cues of subtitles: what is said from when to when, parsed from WebVTT or SRT, as paragraphs of speech."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import unescape
from itertools import pairwise

from mmrag.core.reading import Block
from mmrag.core.types import TimeRange, around
from mmrag.corpus.readers.lines import PlacedText

MAX_TIME_S = 36_000_000.0
"""Times beyond 10,000 hours are broken numbers, not films."""

_CLOCK = r"(?:(\d{1,6})\s*:\s*)?(\d{1,3})\s*:\s*(\d{1,2})(?:\s*[.,:]\s*(\d{1,9}))?"
_TIMING = re.compile(rf"\s*{_CLOCK}\s*-{{1,2}}>\s*{_CLOCK}(?=\s|$)")
_NUMBER = re.compile(r"\s*\d+\s*")
# Bounded: an unclosed tag must not be sought to the end of a hostile text again and again.
_VOICE = re.compile(r"<v(?:\.[^\s<>]{0,99})?(?:[ \t]([^<>\n]{0,200}))?>|</v>", re.IGNORECASE)
_TAG = re.compile(
    r"</?(?:c|i|b|u|s|v|ruby|rt|lang|font|span|em|strong)(?:[.\s][^<>]*)?>|<\d[\d:.]*>", re.IGNORECASE
)
_BREAK = re.compile(r"<br\s*/?>|\\[Nn]", re.IGNORECASE)
_OVERRIDE = re.compile(r"\{\\[^{}]*\}|\{[yYpP]:[^{}]*\}")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’»)\]」』]*$")  # noqa: RUF001 - marks of prose, no typos for those of code
_MIN_PARAGRAPH_S, _MAX_PARAGRAPH_S = 30.0, 60.0
_MAX_PARAGRAPH_CHARS = 1500
_PAUSE_S = 8.0
_ROLLING_SHARE = 1 / 3
_ROLLING_LINES = 4


@dataclass(frozen=True, slots=True)
class Cue:
    """Words that are shown, or said by `speaker`, from `start` to `end`.

    Units:
        Seconds from the beginning.
    """

    start: float
    end: float
    text: str
    speaker: str = ""

    @property
    def time(self) -> TimeRange:
        """When it is."""
        return TimeRange(self.start, self.end)


def parse_cues(text: str) -> list[Cue] | None:
    """Return the cues of a WebVTT or SRT text by their start; None if no line of it is a timing.

    Times may have a comma or a dot, numbers may be wrong or missing, and so may the empty lines between
    cues. Comments, styles and regions of WebVTT are left out.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    timings = [(i, match) for i, line in enumerate(lines) if (match := _TIMING.match(line))]
    if not timings:
        return None
    ends_at_blank = text.lstrip("\ufeff \t\r\n").startswith("WEBVTT")
    found: list[Cue] = []
    for (i, match), after in zip(timings, [*(n for n, _ in timings[1:]), len(lines)], strict=True):
        start, end = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
        words = _payload(lines[i + 1 : after], is_last=after == len(lines), ends_at_blank=ends_at_blank)
        if start <= MAX_TIME_S:
            found += spoken("\n".join(words), start, min(end, MAX_TIME_S))
    return sorted(found, key=lambda cue: cue.start)


def spoken(words: str, start: float, end: float) -> list[Cue]:
    """Return the cues that one subtitle holds, one a speaker, without its markup."""
    pieces: list[tuple[str, str]] = []
    speaker, at = "", 0
    for match in _VOICE.finditer(words):
        pieces.append((speaker, words[at : match.start()]))
        speaker, at = " ".join(unescape(match.group(1) or "").split()), match.end()
    pieces.append((speaker, words[at:]))
    said = ((name, plain(piece)) for name, piece in pieces)
    return [Cue(start, max(start, end), text, name) for name, text in said if text]


def plain(words: str) -> str:
    """Return a subtitle's words without tags, entities and empty lines."""
    bare = unescape(_TAG.sub("", _OVERRIDE.sub("", _BREAK.sub("\n", words))))
    return "\n".join(line for line in (" ".join(row.split()) for row in bare.splitlines()) if line)


def without_repeats(cues: Sequence[Cue]) -> list[Cue]:
    """Drop what rolling captions repeat: automatic ones show each line again while the next appears.

    Only texts that roll throughout are touched: in others, a word that is said twice is said twice.
    """
    overlaps = [0, *(_overlap(a, b) for a, b in pairwise(cues))]
    rolling = sum(overlap > 0 for overlap in overlaps)
    if rolling < 2 or rolling < _ROLLING_SHARE * len(cues):
        return list(cues)
    found: list[Cue] = []
    for cue, overlap in zip(cues, overlaps, strict=True):
        words = cue.text.split()[overlap:]
        if words:
            found.append(replace(cue, text=" ".join(words)))
    return found


def paragraphs(cues: Iterable[Cue]) -> Iterator[Block]:
    """Join cues to paragraphs of half a minute to a minute, each cue with its time.

    A paragraph ends at a change of the speaker, a long pause, or the first sentence's end after half a
    minute. A speaker's name stands before the words: "Ann: Good morning."
    """
    group: list[Cue] = []
    chars = 0
    for cue in cues:
        if group and (chars > _MAX_PARAGRAPH_CHARS or _ends_before(cue, group)):
            yield _paragraph(group)
            group, chars = [], 0
        group.append(cue)
        chars += len(cue.text)
    if group:
        yield _paragraph(group)


def _payload(lines: Sequence[str], *, is_last: bool, ends_at_blank: bool) -> list[str]:
    """Return the lines of one cue, of all that stand before the next timing."""
    kept = list(lines)
    # The line before a timing is the next cue's number or, after an empty line, its name.
    if not is_last and kept and (_NUMBER.fullmatch(kept[-1]) or (len(kept) > 1 and not kept[-2].strip())):
        kept.pop()
    if ends_at_blank and "" in kept:
        kept = kept[: kept.index("")]
    return kept


def _seconds(clock: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = clock
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return round(whole + float(f"0.{fraction or 0}"), 3)


def _overlap(before: Cue, cue: Cue) -> int:
    """Return how many words at a cue's start repeat the last lines of the one before."""
    words = cue.text.split()
    lines = before.text.split("\n")
    for i in dict.fromkeys([0, *range(max(len(lines) - _ROLLING_LINES, 0), len(lines))]):
        tail = " ".join(lines[i:]).split()
        if words[: len(tail)] == tail:
            return len(tail)
    return 0


def _ends_before(cue: Cue, group: Sequence[Cue]) -> bool:
    first, last = group[0], group[-1]
    length = last.end - first.start
    return (
        cue.speaker != first.speaker
        or cue.start - last.end > _PAUSE_S
        or cue.end - first.start > _MAX_PARAGRAPH_S
        or (length >= _MIN_PARAGRAPH_S and _SENTENCE_END.search(last.text) is not None)
    )


def _paragraph(group: Sequence[Cue]) -> Block:
    made = PlacedText()
    for i, cue in enumerate(group):
        if i:
            made.add(" ")
        elif cue.speaker:
            made.add(f"{cue.speaker}: ", cue.time)
        made.add(" ".join(cue.text.split()), cue.time)
    return Block("paragraph", around([cue.time for cue in group]), (made.part(),))
