"""Joining of recorded words to a string: pauses, background noise, gains, disturbances."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.ranges import Finite, Range

Span = tuple[Finite, Finite]  # lowest and highest
Seconds = Annotated[float, Range(0, 60)]
Softer = Annotated[float, Range(-200, 0)]  # dB
Offset = Annotated[float, Range(-1, 1)]
Background = Literal["words", "silence", "noise", "room"]

_FRAME = 0.01  # seconds: the quietest frame of a recording is its background
_EDGE = 0.03  # seconds at either end of a recording without speech
_DITHER = 1 / 32768  # minimum background, as pauses of zeros would reveal the word boundaries


@dataclasses.dataclass(frozen=True, kw_only=True)
class JoiningConfig(Config):
    """Settings of joining recordings of words to strings; `digit_strings.make` takes them.

    A value is drawn uniformly from each range, anew for every string or word.

    Attributes:
        pause: seconds between two words.
        edges: seconds before the first word and after the last; None draws them from `pause`.
        background: sound in pauses and edges. "words": white noise as loud as the background of the
            adjacent words; "silence": zeros; "noise": white to pink noise; "room": noise with the
            spectrum and the loudness of the edge of another speaker's recording.
        level: loudness of the background "noise": root mean square in dB, negative, 0 is full
            scale.
        gain: gain of each word in dB, 0 or negative.
        offset: constant added to every sample; full scale is 1.
        clicks: number of clicks per second; each lasts one sample.
        snr: signal-to-noise ratio in dB of noise (white to pink) that is added to the whole string;
            None adds no noise.
        mixed: True if each word may come from another speaker.
    """

    pause: tuple[Seconds, Seconds] = (0.0, 0.15)
    edges: tuple[Seconds, Seconds] | None = None
    background: Background = "words"
    level: tuple[Softer, Softer] = (-60.0, -60.0)
    gain: tuple[Softer, Softer] = (-6.0, 0.0)
    offset: tuple[Offset, Offset] = (0.0, 0.0)
    clicks: Annotated[float, Range(0, 100)] = 0.0
    snr: Span | None = None
    mixed: bool = False

    def check(self) -> None:
        """Raise ConfigError for a range whose lowest value is above its highest."""
        for name in ("pause", "edges", "level", "gain", "offset", "snr"):
            span = getattr(self, name)
            if span is not None and not span[0] <= span[1]:
                raise ConfigError(f"{name}: {span} makes no sense", "the lowest value comes first")


class Sound(NamedTuple):
    """Recording of a word, and the loudness of its background; result of `sound`.

    Attributes:
        samples: (samples,) in [-1, 1].
        background: root mean square of its quietest 10 ms; full scale is 1.
    """

    samples: np.ndarray
    background: float


def sound(samples: np.ndarray, rate: int) -> Sound:
    """Measure the background of a recording of a word; return both as a Sound.

    Args:
        samples: (samples,) in [-1, 1].
        rate: samples per second.
    """
    frame = min(len(samples), max(1, round(_FRAME * rate)))
    power = np.square(samples[: len(samples) // frame * frame].reshape(-1, frame)).mean(1)
    return Sound(samples, float(np.sqrt(power.min())))


def join(
    utterance: Mapping[str, Any],
    sounds: Mapping[str, Sound],
    rng: np.random.Generator,
    rate: int,
) -> np.ndarray:
    """Join the recordings of words to the waveform (samples,), float32, of one string.

    Args:
        utterance: the string as `digit_strings.make` draws it. "samples" is its length; "words" is
            a list of dicts with "id", "start" (a sample) and "gain" (dB). Optional keys are
            "background" with its "level" or "room", "offset", "clicks" and "snr", see
            `JoiningConfig`.
        sounds: recordings by id.
        rng: random generator of the noise.
        rate: samples per second.
    """
    joined = _background(utterance, sounds, rng, rate)
    for piece in utterance["words"]:
        samples = sounds[piece["id"]].samples
        joined[piece["start"] :][: len(samples)] = _factor(piece) * samples
    if "snr" in utterance:
        joined = _in_noise(joined, utterance["snr"], rng)
    joined += np.float32(utterance.get("offset", 0.0))
    for place, height in utterance.get("clicks", ()):
        joined[place] += height
    return joined.clip(-1, 1)


def coloured(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Make noise (samples,) of RMS 1, whose spectrum falls by 0 (white) to 3 dB (pink) per octave.

    `rng` draws the slope and the noise.
    """
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    tilt = 0.5 * rng.uniform()
    noise = np.fft.irfft(spectrum * np.maximum(1, np.arange(len(spectrum))) ** -tilt, samples)
    return noise / max(float(np.sqrt(np.square(noise).mean())), 1e-12)


def room_tone(
    recording: np.ndarray, samples: int, rate: int, rng: np.random.Generator
) -> np.ndarray:
    """Make noise (samples,) with the spectrum and loudness of the quieter end of a recording.

    Args:
        recording: (any length), samples of a recording.
        samples: number of samples to make.
        rate: samples per second.
        rng: random generator of the noise.
    """
    length = max(1, min(len(recording), round(_EDGE * rate)))
    edge = min(recording[:length], recording[-length:], key=lambda x: float(np.square(x).sum()))
    noise = rng.standard_normal(samples + length - 1)
    return np.convolve(noise, edge, "valid") / np.sqrt(length)


def _background(
    utterance: Mapping[str, Any],
    sounds: Mapping[str, Sound],
    rng: np.random.Generator,
    rate: int,
) -> np.ndarray:
    count, kind = utterance["samples"], utterance.get("background", "words")
    if kind == "words":
        return _of_words(utterance, sounds, rng)
    if kind == "silence":
        return np.zeros(count, dtype=np.float32)
    if kind == "room":
        tone = room_tone(sounds[utterance["room"]].samples, count, rate, rng)
        return tone.astype(np.float32)
    return (10 ** (utterance["level"] / 20) * coloured(count, rng)).astype(np.float32)


def _of_words(
    utterance: Mapping[str, Any], sounds: Mapping[str, Sound], rng: np.random.Generator
) -> np.ndarray:
    """White noise, as loud as the background of the adjacent words."""
    noise = rng.standard_normal(utterance["samples"], dtype=np.float32)
    words = utterance["words"]
    levels = [max(_factor(piece) * sounds[piece["id"]].background, _DITHER) for piece in words]
    place = 0
    for i, piece in enumerate(words):
        noise[place : piece["start"]] *= (levels[max(i - 1, 0)] + levels[i]) / 2
        place = piece["start"] + piece["samples"]
    noise[place:] *= levels[-1]
    return noise


def _in_noise(samples: np.ndarray, snr: float, rng: np.random.Generator) -> np.ndarray:
    """Add noise, white to pink, `snr` dB below the samples."""
    loudness = np.sqrt(np.square(samples).mean()) * 10 ** (-snr / 20)
    noisy = samples + loudness * coloured(len(samples), rng)
    return (noisy / max(1.0, np.abs(noisy).max())).astype(np.float32)


def _factor(piece: Mapping[str, Any]) -> float:
    return float(10 ** (piece["gain"] / 20))
