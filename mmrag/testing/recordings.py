"""Small films and sounds, made when a test needs them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

Cues = Sequence[tuple[float, float, str]]
"""Start and end in seconds, and the words."""

_RATE = 48_000
_MS = Fraction(1, 1000)


def film_of(
    form: str = "matroska",
    *,
    subtitles: Sequence[tuple[str, str, Cues]] = (),
    chapters: Sequence[tuple[str, float, float]] = (),
    tags: Mapping[str, str] | None = None,
) -> bytes:
    """Make a black film of two seconds and 64 x 64 pixels.

    Args:
        form: FFmpeg's name of the container: matroska, mp4, mov, avi, asf.
        subtitles: Codec (subrip, ass, webvtt; mov_text in MP4), language and cues of each track.
        chapters: Title, start and end in seconds.
        tags: What the container says about itself.
    """
    import av

    out = io.BytesIO()
    with av.open(out, "w", format=form) as made:
        made.metadata.update(tags or {})
        made.set_chapters([_chapter(i, *chapter) for i, chapter in enumerate(chapters)])
        picture: Any = made.add_stream("mpeg4", rate=5)
        picture.width = picture.height = 64
        tracks: list[Any] = [made.add_mux_stream(codec) for codec, _, _ in subtitles]
        for track, (_, language, _) in zip(tracks, subtitles, strict=True):
            track.time_base = _MS
            track.metadata["language"] = language
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        for _ in range(10):
            made.mux(picture.encode(frame))
        made.mux(picture.encode(None))
        for track, (codec, _, cues) in zip(tracks, subtitles, strict=True):
            for start, end, words in cues:
                data = words.encode()
                packet: Any = av.Packet(len(data).to_bytes(2, "big") + data if codec == "mov_text" else data)
                packet.stream, packet.time_base = track, _MS
                packet.pts = packet.dts = round(start * 1000)
                packet.duration = round((end - start) * 1000)
                made.mux(packet)
    return out.getvalue()


def tone_of(form: str, codec: str, *, tags: Mapping[str, str] | None = None) -> bytes:
    """Make a tone of three seconds; container and codec are named as FFmpeg does: ("wav", "pcm_s16le")."""
    import av

    out = io.BytesIO()
    with av.open(out, "w", format=form) as made:
        made.metadata.update(tags or {})
        sound: Any = made.add_stream(codec, rate=_RATE, layout="mono")
        sound.bit_rate = 64_000
        wave = np.sin(np.arange(3 * _RATE) * 440 * 2 * np.pi / _RATE).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(wave[None, :], format="flt", layout="mono")
        frame.rate = _RATE
        resampler = av.AudioResampler(sound.format, "mono", _RATE, frame_size=sound.frame_size or 1024)
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            made.mux(sound.encode(piece))
    return out.getvalue()


def _chapter(ident: int, title: str, start: float, end: float) -> Any:
    times = {"start": round(start * 1000), "end": round(end * 1000), "time_base": _MS}
    return {"id": ident, **times, "metadata": {"title": title}}
