"""Waveform to log-mel and linear magnitude, and back, in the conventions of the field."""

import dataclasses
import math
from collections.abc import Callable
from typing import Literal, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from speechseq.audio.presets import PRESETS
from speechseq.audio.spectrogram import (
    MelScale,
    frames_at_once,
    magnitudes,
    mel_filters,
    pre_emphasise,
    reflect,
    unmix,
    working_dtype,
)
from speechseq.config import Config, nearest
from speechseq.errors import ConfigError, DataError
from speechseq.shapes import Lengths, Magnitude, Mel, Waveform

Count = TypeVar("Count", int, Tensor)
_UNMIX_STEPS = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioConfig(Config):
    """How sound becomes frames; the defaults are the `nvidia` convention.

    Args:
        sample_rate: samples a second.
        n_fft, hop, window: length of transform, step and Hann window, in samples.
        mels, fmin, fmax: mel bands and the range that they cover, in Hz.
        mel_scale: "slaney" or "htk".
        area_norm: mel filters of equal area (Slaney) instead of equal peak.
        centred: frame t is centred on sample t·hop, 1 + N//hop frames; otherwise it begins
            (n_fft - hop)/2 before it, N//hop frames. Both mirror the signal at its ends.
        magnitude_epsilon: e in sqrt(re² + im² + e).
        pre_emphasis: a in x[t] - a·x[t-1], applied first; 0 for none.
        log: "ln", "log10" or "db" (20·log10).
        floor: smallest mel magnitude that the logarithm is given.
        reference_level: subtracted after the logarithm.
        lowest_level: this level (negative) becomes 0 and level 0 becomes 1, clipped to [0, 1];
            None leaves the logarithm as it is.
        power: mels of magnitudes (1), or of their squares (2); `floor` is in the same unit.
        deltas: 1 to add the regression over time of each mel to the features, 2 for that of the
            regression too (`deltas.add_deltas`); `log_mel` itself gives none.
    """

    sample_rate: int = 22050
    n_fft: int = 1024
    hop: int = 256
    window: int = 1024
    mels: int = 80
    fmin: float = 0.0
    fmax: float = 8000.0
    mel_scale: MelScale = "slaney"
    area_norm: bool = True
    centred: bool = True
    magnitude_epsilon: float = 0.0
    pre_emphasis: float = 0.0
    log: Literal["ln", "log10", "db"] = "ln"
    floor: float = 1e-5
    reference_level: float = 0.0
    lowest_level: float | None = None
    power: int = 1
    deltas: int = 0

    @classmethod
    def preset(cls, name: str) -> "AudioConfig":
        """The settings of a known system: nvidia, hifigan, espnet, keithito, tacotron2_paper, las,
        specaugment.

        Raises:
            ConfigError: no such preset.
        """
        if name not in PRESETS:
            raise ConfigError(f"audio preset: unknown {name!r}", nearest(name, PRESETS))
        return cls(**PRESETS[name])

    @property
    def features(self) -> int:
        """Channels of a frame that a recogniser is given: the mels and their deltas."""
        return self.mels * (1 + self.deltas)

    @property
    def bins(self) -> int:
        """Frequencies of the linear magnitude."""
        return self.n_fft // 2 + 1

    @property
    def bins_in_mels(self) -> int:
        """Of these, from the lowest, the ones that mel bands can hear: the rest are above fmax."""
        return min(self.bins, int(self.fmax * self.n_fft / self.sample_rate) + 1)

    @property
    def padding(self) -> int:
        """Samples mirrored at each end."""
        return self.n_fft // 2 if self.centred else (self.n_fft - self.hop) // 2

    @property
    def shortest(self) -> int:
        """Samples that a waveform needs: one window, and enough for its mirrored ends."""
        return max(self.window, self.padding + 1)

    @property
    def floor_value(self) -> float:
        """The number that stands for silence after compression (nvidia: ln 1e-5 = -11.51)."""
        return float(compress(torch.zeros((), dtype=torch.float64), self))

    def check(self) -> None:
        """Raise ConfigError when the numbers contradict each other."""
        for name in ("sample_rate", "n_fft", "hop", "window", "mels", "fmax", "floor"):
            value = getattr(self, name)
            _require(0 < value < math.inf, f"{name}: {value} is not positive", f"set {name} > 0")
        _require(
            self.hop <= self.window,
            f"hop: {self.hop} is larger than window {self.window}, samples between would be lost",
            "set hop to a quarter of window",
        )
        _require(
            self.window <= self.n_fft,
            f"window: {self.window} is larger than n_fft {self.n_fft}",
            f"set n_fft to {2 ** math.ceil(math.log2(self.window))}",
        )
        span = self.n_fft if self.centred else self.n_fft - self.hop
        _require(
            span % 2 == 0,
            f"n_fft: {self.n_fft} with hop {self.hop} cannot be padded evenly",
            "set n_fft to a power of two and hop to an even number",
        )
        nyquist = self.sample_rate / 2
        _require(
            self.fmax <= nyquist,
            f"fmax: {self.fmax:g} Hz is above {nyquist:g}, half of sample_rate {self.sample_rate}",
            f"set fmax to at most {nyquist:g}",
        )
        _require(
            0 <= self.fmin < self.fmax,
            f"fmin: {self.fmin:g} Hz is not between 0 and fmax {self.fmax:g}",
            "set fmin below fmax",
        )
        _require(
            self.mels <= self.bins,
            f"mels: {self.mels} bands from the {self.bins} bins of n_fft {self.n_fft}",
            "set fewer mels or a larger n_fft",
        )
        lowest = -1 if self.lowest_level is None else self.lowest_level
        for name, fits, cure in (
            ("magnitude_epsilon", 0 <= self.magnitude_epsilon < math.inf, "0 or a little more"),
            ("pre_emphasis", 0 <= self.pre_emphasis < 1, "0 for none, or 0.97"),
            ("reference_level", math.isfinite(self.reference_level), "0 for none, or 20"),
            ("power", self.power in (1, 2), "1 for magnitudes or 2 for their squares"),
            ("deltas", 0 <= self.deltas <= 2, "0, 1 or 2"),
            ("lowest_level", -math.inf < lowest < 0, "-100, or null for none"),
        ):
            value = getattr(self, name)
            _require(fits, f"{name}: {value} is out of range", f"set {name} to {cure}")


def frames_of(samples: Count, config: AudioConfig) -> Count:
    """How many frames a waveform of that many samples gives (a number, or a tensor of them)."""
    return samples // config.hop + (1 if config.centred else 0)


def samples_of(frames: Count, config: AudioConfig) -> Count:
    """The fewest samples that give that many frames: what Griffin-Lim gives back."""
    return (frames - (1 if config.centred else 0)) * config.hop


def magnitude(waveform: Waveform, config: AudioConfig, lengths: Lengths | None = None) -> Magnitude:
    """Linear STFT magnitude: (batch, samples) to (batch, frames, bins).

    With `lengths` (batch) in samples, each row equals its item alone; later frames are 0.

    Raises:
        DataError: a waveform shorter than a window.
    """
    bins = config.bins
    return _framewise(waveform, config, lengths, lambda part: part, bins, 0.0, bins)


def log_mel(waveform: Waveform, config: AudioConfig, lengths: Lengths | None = None) -> Mel:
    """Compressed mels: (batch, samples) to (batch, frames, mels).

    With `lengths` (batch) in samples, each row equals its item alone; later frames are silence
    (`config.floor_value`).

    Raises:
        DataError: a waveform shorter than a window.
    """

    def finish(part: Magnitude) -> Mel:
        part = part.square() if config.power == 2 else part
        return compress(part @ _filters(config, part), config)

    with torch.autocast(waveform.device.type, enabled=False):  # bfloat16 is too coarse for levels
        value, bins = config.floor_value, config.bins_in_mels
        return _framewise(waveform, config, lengths, finish, config.mels, value, bins)


def compress(magnitude: Float[Tensor, "*any"], config: AudioConfig) -> Float[Tensor, "*any"]:
    """The convention's logarithm and range, of mel or linear magnitudes of any shape."""
    level = magnitude.clamp(min=config.floor)
    level = level.log() if config.log == "ln" else level.log10()
    if config.log == "db":
        level = level * 20
    if config.reference_level:
        level = level - config.reference_level
    if config.lowest_level is not None:
        level = (1 - level / config.lowest_level).clamp(0, 1)
    return level


def expand(level: Float[Tensor, "*any"], config: AudioConfig) -> Float[Tensor, "*any"]:
    """The inverse of `compress`: magnitudes, but for what it clipped."""
    if config.lowest_level is not None:
        level = (1 - level.clamp(0, 1)) * config.lowest_level
    level = level + config.reference_level
    if config.log == "ln":
        return level.exp()
    return 10 ** (level / 20 if config.log == "db" else level)


def mel_to_magnitude(mel: Mel, config: AudioConfig) -> Magnitude:
    """Compressed mels back to linear magnitudes: (batch, frames, mels) to (batch, frames, bins).

    Non-negative, by ten multiplicative updates of the Kullback-Leibler divergence. On six LJSpeech
    clips that came nearest to the true magnitudes: error -12.9 dB, 1.4 ms for a second of speech
    on one core, against -11.7 dB, 1.3 ms for the clipped pseudo-inverse and -12.2 dB, 42 ms for
    non-negative least squares, which leave holes between the middles of wide filters. Frames are
    independent of each other. Above fmax and below fmin magnitudes are 0.
    """
    with torch.autocast(mel.device.type, enabled=False):
        mel = mel.float() if mel.dtype.itemsize < 4 else mel
        found = unmix(expand(mel, config), _filters(config, mel), _UNMIX_STEPS)
        found = found.sqrt() if config.power == 2 else found
        return F.pad(found, (0, config.bins - config.bins_in_mels))


def _filters(config: AudioConfig, like: Tensor) -> Float[Tensor, "bins_in_mels mels"]:
    c = config
    numbers = (c.sample_rate, c.n_fft, c.mels, c.fmin, c.fmax, c.mel_scale, c.area_norm)
    return mel_filters(*numbers, like.device, like.dtype)[: c.bins_in_mels]


def _framewise(
    waveform: Waveform,
    config: AudioConfig,
    lengths: Lengths | None,
    finish: Callable[[Magnitude], Tensor],
    channels: int,
    padding_value: float,
    bins: int,
) -> Float[Tensor, "batch frames channels"]:
    """Run `finish` over the magnitudes of all frames, on a CPU few enough to stay in the cache."""
    batch, samples = waveform.shape
    own = [samples] * batch if lengths is None else lengths.tolist()
    _check_lengths(own, samples, config)
    waveform = waveform.float() if waveform.dtype.itemsize < 4 else waveform
    c, dtype = config, waveform.dtype
    numbers = (c.n_fft, c.hop, c.window, c.magnitude_epsilon, bins, dtype)
    if waveform.device.type != "cpu" or waveform.requires_grad:
        padded = reflect(_emphasised(waveform, config), config.padding, lengths)
        return _silence(finish(magnitudes(padded, *numbers)), own, config, padding_value)
    out = waveform.new_full((batch, frames_of(samples, config), channels), padding_value)
    step = frames_at_once(waveform.device, working_dtype(waveform), config.n_fft)
    for row, length in enumerate(own):
        padded = reflect(_emphasised(waveform[row : row + 1, :length], config), config.padding)
        frames = frames_of(length, config)
        for begin in range(0, frames, step):
            end = min(begin + step, frames)
            part = padded[:, begin * config.hop : (end - 1) * config.hop + config.n_fft]
            out[row, begin:end] = finish(magnitudes(part, *numbers))[0]
    return out


def _emphasised(waveform: Waveform, config: AudioConfig) -> Waveform:
    if not config.pre_emphasis:
        return waveform
    return pre_emphasise(waveform.to(working_dtype(waveform)), config.pre_emphasis)


def _silence(frames: Tensor, own: list[int], config: AudioConfig, value: float) -> Tensor:
    counts = torch.tensor([frames_of(length, config) for length in own], device=frames.device)
    outside = torch.arange(frames.shape[1], device=frames.device) >= counts[:, None]
    return frames.masked_fill(outside[:, :, None], value)


def _check_lengths(own: list[int], samples: int, config: AudioConfig) -> None:
    for row, length in enumerate(own):
        if length > samples:
            raise DataError(f"lengths[{row}]: {length} is more than the {samples} samples given")
        if length < config.shortest:
            raise DataError(
                f"waveform {row} has {length} samples, fewer than the {config.shortest} that "
                f"one window of {config.window} and its mirrored ends need",
                f"leave it out, or pad it with silence to {config.shortest} samples",
            )


def _require(true: bool, problem: str, cure: str) -> None:
    if not true:
        raise ConfigError(problem, cure)
