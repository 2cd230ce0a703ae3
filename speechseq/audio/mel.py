"""Log-mels and linear magnitudes of waveforms, and their inverses, in the common conventions."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from speechseq.arguments import checked_lengths
from speechseq.audio.conditioning import check_spans, conditioned, silenced
from speechseq.audio.framing import Framing, require
from speechseq.audio.mel_filters import Band, MelScale, Triangles, bands_of, mel_filters, unmix
from speechseq.audio.presets import PRESETS
from speechseq.audio.spectrogram import magnitudes, reflect
from speechseq.audio.stft_cpu import row_magnitudes, windowed
from speechseq.config import nearest
from speechseq.eager import has_memory
from speechseq.errors import ConfigError
from speechseq.ranges import Range
from speechseq.shapes import Lengths, Magnitude, Mel, Waveform

Count = TypeVar("Count", int, Tensor)
_UNMIX_STEPS = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioConfig(Framing):
    """Settings of the STFT and of log-mels; the defaults are the preset `nvidia`.

    The fields of the STFT, such as `sample_rate`, `n_fft` and `hop`, are those of `Framing`.

    Args:
        mels: number of mel bands.
        fmin: lower edge of the lowest band, in Hz.
        fmax: upper edge of the highest band, in Hz.
        mel_scale: "slaney" or "htk".
        triangles: scale on which the mel filters are triangular, "hz" or "mel" (Kaldi).
        area_norm: mel filters of equal area (Slaney) instead of equal peak.
        power: exponent of the magnitudes in the mels, 1 or 2.
        log: "ln", "log10" or "db" (20·log10).
        floor: lower bound of the mels before the logarithm, in the unit of the mels.
        reference_level: subtracted after the logarithm.
        lowest_level: map levels from this negative one to 0 linearly to [0, 1], with clipping; None
            leaves the levels as they are.
        deltas: 1 appends deltas to a recogniser's features, 2 also double deltas
            (`deltas.add_deltas`); `log_mel` itself appends none.
    """

    mels: Annotated[int, Range(1, 1024)] = 80
    fmin: Annotated[float, Range(0, 500_000)] = 0.0
    fmax: Annotated[float, Range(0, 500_000, above=True)] = 8000.0
    mel_scale: MelScale = "slaney"
    triangles: Triangles = "hz"
    area_norm: bool = True
    power: Annotated[int, Range(1, 2)] = 1
    log: Literal["ln", "log10", "db"] = "ln"
    floor: Annotated[float, Range(0, 1e9, above=True)] = 1e-5
    reference_level: Annotated[float, Range(-1e4, 1e4)] = 0.0
    lowest_level: Annotated[float, Range(-1e4, 0, below=True)] | None = None
    deltas: Annotated[int, Range(0, 2)] = 0

    @classmethod
    def preset(cls, name: str) -> "AudioConfig":
        """Return the audio settings of a known system; ConfigError if no preset has that name.

        Args:
            name: nvidia, hifigan, espnet, keithito or tacotron2_paper for synthesis; las,
                specaugment or kaldi for recognition.

        Examples:
            >>> audio = AudioConfig.preset("las")
            >>> audio.sample_rate, audio.hop, audio.mels
            (16000, 160, 40)
        """
        if name not in PRESETS:
            raise ConfigError(f"audio preset: unknown {name!r}", nearest(name, PRESETS))
        return cls(**PRESETS[name])

    @property
    def features(self) -> int:
        """Number of channels of a recogniser's input, mels·(1 + deltas)."""
        return self.mels * (1 + self.deltas)

    @property
    def bins_in_mels(self) -> int:
        """Number of frequency bins that the mel bands use, from the lowest on: those up to fmax."""
        return min(self.bins, int(self.fmax * self.n_fft / self.sample_rate) + 1)

    @property
    def floor_value(self) -> float:
        """Value of a log-mel in digital silence (for `nvidia`, ln 1e-5 = -11.51)."""
        return float(compress(torch.zeros((), dtype=torch.float64), self))

    def check(self) -> None:
        """Raise ConfigError if settings contradict each other, such as fmax above half the rate."""
        super().check()
        nyquist = self.sample_rate / 2
        require(
            self.fmax <= nyquist,
            f"fmax: {self.fmax:g} Hz is above {nyquist:g}, half of sample_rate {self.sample_rate}",
            f"set fmax to at most {nyquist:g}",
        )
        require(
            0 <= self.fmin < self.fmax,
            f"fmin: {self.fmin:g} Hz is not between 0 and fmax {self.fmax:g}",
            "set fmin below fmax",
        )
        require(
            self.mels <= self.bins,
            f"mels: {self.mels} bands from the {self.bins} bins of n_fft {self.n_fft}",
            "set fewer mels or a larger n_fft",
        )


def frames_of(samples: Count, config: AudioConfig) -> Count:
    """Number of STFT frames of waveforms with `samples` samples, an integer or a tensor.

    Args:
        samples: number of samples; a tensor (of any shape) gives a tensor.
        config: audio settings.
    """
    if config.snip_edges:
        count = (samples - config.window) // config.hop + 1
        return count * (count > 0)
    return samples // config.hop + (1 if config.centred else 0)


def samples_of(frames: Count, config: AudioConfig) -> Count:
    """Smallest number of samples that gives `frames` STFT frames; `griffin_lim` returns as many.

    Args:
        frames: number of frames; a tensor (of any shape) gives a tensor.
        config: audio settings.
    """
    if config.snip_edges:
        return (frames - 1) * config.hop + config.window
    return (frames - (1 if config.centred else 0)) * config.hop


def magnitude(waveform: Waveform, config: AudioConfig, lengths: Lengths | None = None) -> Magnitude:
    """Compute the linear magnitudes of the STFT of waveforms.

    Args:
        waveform: (batch, samples) in [-1, 1].
        config: audio settings; `config.power` is not applied.
        lengths: (batch), number of valid samples of each row, whose result then does not depend on
            its padding; None if all are valid.

    Returns:
        Magnitudes (batch, frames, bins), 0 in padding frames.

    Raises:
        DataError: a waveform is shorter than `config.shortest`.

    Examples:
        >>> waveform = torch.randn(2, 22050)
        >>> magnitude(waveform, AudioConfig(), lengths=torch.tensor([22050, 8000])).shape
        torch.Size([2, 87, 513])
    """
    bins = config.bins
    return _framewise(waveform, config, lengths, lambda part: part, bins, bins)


def log_mel(waveform: Waveform, config: AudioConfig, lengths: Lengths | None = None) -> Mel:
    """Compute the log-mels of waveforms, on the scale that the settings define.

    Args:
        waveform: (batch, samples) in [-1, 1].
        config: audio settings.
        lengths: (batch), number of valid samples of each row, whose result then does not depend on
            its padding; None if all are valid.

    Returns:
        Log-mels (batch, frames, mels); padding frames are silence (`config.floor_value`).

    Raises:
        DataError: a waveform is shorter than `config.shortest`.

    Examples:
        >>> audio = AudioConfig.preset("nvidia")
        >>> mel = log_mel(torch.zeros(1, 22050), audio)  # a second of silence
        >>> mel.shape, round(float(mel.max()), 2)
        (torch.Size([1, 87, 80]), -11.51)
    """

    with torch.autocast(waveform.device.type, enabled=False):  # bfloat16 is too coarse for levels
        dtype = torch.promote_types(waveform.dtype, torch.float32)
        bands = _bands(config, waveform.device, dtype)

        def hear(part: Magnitude) -> Mel:
            part = part.square() if config.power == 2 else part
            return torch.cat([part[..., band.bins] @ band.filters for band in bands], -1)

        mel = _framewise(waveform, config, lengths, hear, config.mels, config.bins_in_mels)
        return compress(mel, config)


def compress(magnitude: Float[Tensor, "*any"], config: AudioConfig) -> Float[Tensor, "*any"]:
    """Convert magnitudes, mel or linear, to levels on a logarithmic scale; same shape.

    Args:
        magnitude: magnitudes of any shape, at least 0.
        config: audio settings: floor, logarithm, and range of the levels.
    """
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
    """Convert levels on a logarithmic scale to magnitudes of the same shape; undoes `compress`.

    Args:
        level: levels of any shape.
        config: audio settings: logarithm, and range of the levels.
    """
    if config.lowest_level is not None:
        level = (1 - level.clamp(0, 1)) * config.lowest_level
    level = level + config.reference_level
    if config.log == "ln":
        return level.exp()
    return 10 ** (level / 20 if config.log == "db" else level)


def mel_to_magnitude(mel: Mel, config: AudioConfig) -> Magnitude:
    """Estimate linear magnitudes from log-mels, by ten multiplicative updates (`unmix`).

    Args:
        mel: (batch, frames, mels), on the scale of `config`.
        config: audio settings of the log-mels.

    Returns:
        Magnitudes (batch, frames, bins).

    Examples:
        >>> audio = AudioConfig()
        >>> mel = log_mel(torch.randn(1, 22050), audio)
        >>> mel_to_magnitude(mel, audio).shape
        torch.Size([1, 87, 513])
    """
    with torch.autocast(mel.device.type, enabled=False):
        mel = mel.float() if mel.dtype.itemsize < 4 else mel
        found = unmix(expand(mel, config), _filters(config, mel), _UNMIX_STEPS)
        found = found.sqrt() if config.power == 2 else found
        return F.pad(found, (0, config.bins - config.bins_in_mels))


def _filters(config: AudioConfig, like: Tensor) -> Float[Tensor, "bins_in_mels mels"]:
    c = config
    numbers = (c.sample_rate, c.n_fft, c.mels, c.fmin, c.fmax, c.mel_scale, c.area_norm)
    return mel_filters(*numbers, like.device, like.dtype, c.triangles)[: c.bins_in_mels]


@functools.lru_cache(maxsize=32)
def _bands(config: AudioConfig, device: torch.device, dtype: torch.dtype) -> list[Band]:
    with torch.inference_mode(False):  # a cached inference tensor would break later training
        return bands_of(_filters(config, torch.empty((), device=device, dtype=dtype)))


def _framewise(
    waveform: Waveform,
    config: AudioConfig,
    lengths: Lengths | None,
    finish: Callable[[Magnitude], Tensor],
    channels: int,
    bins: int,
) -> Float[Tensor, "batch frames channels"]:
    """Apply `finish` to the magnitudes of all frames; padding frames are 0."""
    batch, samples = waveform.shape
    if lengths is not None:
        lengths = checked_lengths(lengths, waveform.shape, wait=True)
    own = [samples] * batch if lengths is None else lengths.tolist()
    check_spans(own, samples, config)
    waveform = waveform.float() if waveform.dtype.itemsize < 4 else waveform
    if waveform.device.type != "cpu" or waveform.requires_grad or not has_memory(waveform):
        padded = reflect(conditioned(waveform, config), config.padding, lengths)
        numbers = (config.n_fft, config.magnitude_epsilon, bins, waveform.dtype)
        spectra = magnitudes(windowed(padded, config), *numbers)
        return silenced(finish(spectra), [frames_of(length, config) for length in own])
    out = waveform.new_zeros(batch, frames_of(samples, config), channels)
    for row, length in enumerate(own):
        padded = reflect(conditioned(waveform[row : row + 1, :length], config), config.padding)
        frames = frames_of(length, config)
        linear = row_magnitudes(padded, config, frames, bins, waveform.dtype)
        out[row, :frames] = finish(linear)[0]
    return out
