"""Sounds at another rate, and out of WAV files."""

import io
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, ClapConfig, ClapFeatureExtractor, ClapModel

from mmrag.core.errors import Corrupt, Empty
from mmrag.embed.content import Content, Sound
from mmrag.embed.dual.model import DualModel, load_model
from mmrag.embed.dual.options import DualOptions
from mmrag.embed.sounds import open_wav, resample


def tone(hertz: float, rate: int, seconds: float = 0.5) -> np.ndarray:
    times = np.arange(int(rate * seconds)) / rate
    # It swells and fades: what the edges do is not the question here.
    return (np.sin(2 * np.pi * hertz * times) * np.hanning(len(times))).astype(np.float32)


@pytest.mark.parametrize(("rate", "wanted"), [(44100, 16000), (8000, 48000), (48000, 16000), (16000, 44100)])
def test_a_tone_keeps_its_pitch_and_loudness(rate: int, wanted: int) -> None:
    np.testing.assert_allclose(resample(tone(440, rate), rate, wanted), tone(440, wanted), atol=2e-3)


def test_what_the_lower_rate_cannot_hold_is_removed() -> None:
    high = resample(tone(12000, 48000), 48000, 16000)
    assert np.abs(high).max() < 1e-2
    # Every third sample would have kept it, at a pitch that never was.
    assert np.abs(tone(12000, 48000)[::3]).max() > 0.5


@pytest.mark.parametrize("count", [1, 2, 7, 441, 1000])
def test_the_length_follows_the_rates(count: int) -> None:
    samples = np.ones(count, np.float32)
    assert len(resample(samples, 44100, 16000)) == -(-count * 160 // 441)
    assert resample(samples, 16000, 16000) is samples


def write_wav(samples: np.ndarray, width: int, channels: int = 1, rate: int = 8000) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        whole = np.round(samples * (2 ** (8 * width - 1) - 1)).astype(np.int64)
        whole = whole + 128 if width == 1 else whole
        file.writeframes(b"".join(int(one).to_bytes(width, "little", signed=width > 1) for one in whole))
    return out.getvalue()


@pytest.mark.parametrize(("width", "off"), [(1, 1e-2), (2, 1e-4), (3, 1e-6), (4, 1e-6)])
def test_wav_files_of_every_width(width: int, off: float) -> None:
    samples = np.array([0, 0.5, -0.5, 0.99, -0.99])
    found, rate = open_wav(write_wav(samples, width))
    assert rate == 8000
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, samples, atol=off)


def test_channels_are_averaged() -> None:
    found, _ = open_wav(write_wav(np.array([0.5, 0.1, -0.5, -0.1]), 2, channels=2))
    np.testing.assert_allclose(found, [0.3, -0.3], atol=1e-4)


def test_broken_wav_files() -> None:
    good = write_wav(np.array([0.5, 0.1, -0.5]), 2)
    for data in (b"", b"RIFF", b"nothing of the kind", good[:20]):
        with pytest.raises(Corrupt):
            open_wav(data, name="a.wav")
    with pytest.raises(Empty):
        open_wav(write_wav(np.array([]), 2))
    # A file that ends in the middle of a sample keeps those before.
    assert len(open_wav(good[:-1])[0]) == 2


def test_a_long_sound_is_cut_at_its_end_and_told(
    dual: Callable[..., DualModel], sound: Callable[..., Sound]
) -> None:
    model = dual("clap")
    long = model.prepare(Content((sound(500, 5.0),), "document"))
    assert "takes 5.0 s, and the model hears 2.0 s" in long.notes[0]
    samples, rate = sound(500, 5.0).open()
    first = model.prepare(Content((Sound(lambda: (samples[: 2 * rate], rate)),), "document"))
    assert first.notes == ()
    assert np.array_equal(model.run([long]), model.run([first]))


def test_a_sound_of_another_rate_means_the_same(
    dual: Callable[..., DualModel], sound: Callable[..., Sound]
) -> None:
    model = dual("clap")
    samples, rate = sound(500, 1.0, 16000).open()
    other = Sound(lambda: (resample(samples, rate, 44100), 44100))
    same, again = model.run([model.prepare(Content((one,), "document")) for one in (sound(500), other)])
    assert float(same @ again) > 0.999
    with pytest.raises(Empty):
        model.prepare(Content((Sound(lambda: (samples[:0], rate)),), "document"))


def test_a_fused_clap_gives_a_sound_one_vector_in_any_batch(
    tiny: Callable[[str], Path], sound: Callable[..., Sound], tmp_path: Path
) -> None:
    # The library's extractor picks stretches at random, and a sound of every batch to be fused.
    config = ClapConfig.from_pretrained(tiny("clap"))
    config.audio_config.enable_fusion = True
    config.audio_config.fusion_type = "aff_2d"
    audio = ClapFeatureExtractor.from_pretrained(tiny("clap"), truncation="fusion")
    torch.manual_seed(4)
    clap = ClapModel(config).eval()
    for part in (clap, audio, AutoTokenizer.from_pretrained(tiny("clap"))):
        part.save_pretrained(tmp_path)
    model = load_model(tmp_path, DualOptions(model=str(tmp_path), architecture="clap"), "cpu")
    contents = [Content((sound(hertz, seconds),), "document") for hertz, seconds in ((440, 1), (900, 5))]
    together = model.run([model.prepare(content) for content in contents])
    alone = [model.run([model.prepare(content)])[0] for content in contents]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-5)
    # A sound that is no longer than the model hears is marked as such, whatever the extractor says.
    inputs = audio(sound(440).open()[0], sampling_rate=16000, return_tensors="pt")
    with torch.inference_mode():
        short, longer = (
            clap.get_audio_features(inputs["input_features"], torch.tensor([[mark]])).pooler_output[0].numpy()
            for mark in (False, True)
        )
    np.testing.assert_allclose(together[0], short, atol=1e-5)
    assert np.abs(short - longer).max() > 1e-4
