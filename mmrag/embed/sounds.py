"""Sounds as a model takes them: one channel at its own rate."""

from __future__ import annotations

import io
import wave
from math import gcd

import numpy as np
from numpy.typing import NDArray

from mmrag.core.errors import Corrupt, Empty

_FULL_SCALE = {1: 128.0, 2: 32768.0, 3: 8388608.0, 4: 2147483648.0}


def open_wav(data: bytes, *, name: str = "sound") -> tuple[NDArray[np.float32], int]:
    """Return the samples of a WAV file, its channels averaged, and their rate.

    Shapes:
        -> float32 [n_samples], -1 to 1

    Raises:
        Corrupt: It is no WAV file of whole numbers.
        Empty: It has no samples.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            raw = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise Corrupt(
            f"The sound cannot be opened: {error}.", fix="Convert it to WAV with 16 bits.", where=name
        ) from error
    raw = raw[: len(raw) - len(raw) % (width * channels)]
    if not raw or not rate:
        raise Empty("The sound has no samples.", fix="Leave it out.", where=name)
    samples = _whole_numbers(raw, width).reshape(-1, channels).mean(axis=1) / _FULL_SCALE[width]
    return samples.astype(np.float32), rate


def resample(samples: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.float32]:
    """Return a sound at another rate; frequencies that the lower of both rates cannot hold are removed.

    Its spectrum is cut off or continued with zeros, which is exact for what both rates can hold. Silence
    behind it keeps the end from leaking into the start.

    Shapes:
        samples [n] -> [ceil(n * wanted / rate)]

    Units:
        Rates are in samples a second.
    """
    if rate == wanted or not len(samples):
        return samples
    up, down = wanted // gcd(rate, wanted), rate // gcd(rate, wanted)
    length = -(-len(samples) * up // down)
    # Whole periods on both sides: only then do both spectra have the same frequencies.
    periods = -(-len(samples) // down) + max(1, 64 // down) * 2
    spectrum = np.fft.rfft(samples, periods * down)
    other = np.zeros(periods * up // 2 + 1, spectrum.dtype)
    kept = min(len(spectrum), len(other))
    other[:kept] = spectrum[:kept]
    return (np.fft.irfft(other, periods * up)[:length] * (up / down)).astype(np.float32)


def _whole_numbers(raw: bytes, width: int) -> NDArray[np.float64]:
    if width == 1:
        return np.frombuffer(raw, np.uint8).astype(np.float64) - 128
    if width == 3:
        wide = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        padded = np.zeros((len(wide), 4), np.uint8)
        # The three bytes are the upper ones of four: their sign then comes out right.
        padded[:, 1:] = wide
        return padded.view("<i4").ravel() / 256.0
    return np.frombuffer(raw, f"<i{width}").astype(np.float64)
