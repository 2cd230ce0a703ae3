"""Griffin-Lim: waveforms from magnitudes by alternating projections."""

from typing import Annotated

import torch
import torchaudio.functional
from jaxtyping import Float
from torch import Tensor

from speechseq.arguments import checked_lengths
from speechseq.audio.mel import AudioConfig, samples_of
from speechseq.audio.mel import magnitude as magnitude_of
from speechseq.audio.projections import invert, overlaps, works_row_by_row
from speechseq.errors import ConfigError, DataError
from speechseq.ranges import BelowOne, CountOrNone, DrawSeed, Range, checked
from speechseq.shapes import Lengths, Magnitude, Waveform

# the only values that the inverse supports
_PLAIN = {
    "window_shape": "hann",
    "snip_edges": False,
    "gain": 1.0,
    "pre_emphasis_by_frame": False,
    "remove_mean": False,
}
_POWER = Annotated[float, Range(0, 10, above=True)]
_NOTHING = 1e-3  # relative to the maximum; below, samples are lost (hops from 0.9 windows on)
_DRAW = 64  # frames of phases drawn at a time, so that a longer item begins with the same phases


def griffin_lim(
    magnitude: Magnitude,
    config: AudioConfig,
    *,
    iterations: int = 60,
    momentum: float | int = 0.99,
    power: float | int = 1.0,
    seed: int | None = None,
    frame_lengths: Lengths | None = None,
) -> Waveform:
    """Invert linear magnitudes to waveforms by the Griffin-Lim algorithm.

    Phases are estimated by alternating projections: the STFT of a waveform gives phases, the given
    magnitudes with these phases give the next waveform. An item's result does not depend on the
    rest of the batch or on padding. Pre-emphasis is undone.

    Args:
        magnitude: (batch, frames, bins), not logarithmic.
        config: audio settings that the magnitudes were computed with.
        iterations: number of projections after the first inverse; 0 keeps random phases.
        momentum: 0 is the classic algorithm, 0.99 the fast one.
        power: exponent to which magnitudes are raised first (Tacotron: 1.2).
        seed: seed of the initial phases, which are the same on every device; None draws a seed from
            torch.
        frame_lengths: (batch), number of valid frames of each item; None if all are valid.

    Returns:
        Waveforms (batch, samples), zeros after an item's last sample. The number of samples is
        (frames - 1)·hop for centred configs, frames·hop for the others (such as `hifigan`).

    Raises:
        ConfigError: iterations or momentum is out of range, the number of bins differs from the
            config's, or the settings have no inverse (such as the preset `kaldi`).
        DataError: an item has NaN or Inf; a length is below 1 or exceeds the number of frames.

    Source: Griffin and Lim 1984; Perraudin, Balazs and Søndergaard 2013 (momentum).

    Examples:
        >>> from speechseq.audio.mel import AudioConfig, magnitude
        >>> waveform, audio = torch.sin(torch.arange(22016) / 20).unsqueeze(0), AudioConfig()
        >>> griffin_lim(magnitude(waveform, audio), audio, iterations=4, seed=0).shape
        torch.Size([1, 22016])
    """
    check_settings(config, iterations, momentum, power, seed)
    with torch.no_grad():
        target, lengths = clean(magnitude, config, frame_lengths, power)
        phases = Phases(seed, config.bins).take(target.shape[1]).to(target)
        if not works_row_by_row(target):
            waveform = invert(target, phases, config, iterations, momentum, lengths)
        else:
            waveform = target.new_zeros(len(target), samples_of(target.shape[1], config))
            for row, frames in enumerate(lengths.tolist()):
                item = target[row : row + 1, :frames]
                own = invert(item, phases[:frames], config, iterations, momentum)
                waveform[row, : own.shape[1]] = own[0]
        waveform = undo_pre_emphasis(waveform, config, waveform.new_zeros(len(waveform), 1))
        time = torch.arange(waveform.shape[1], device=waveform.device)
        return waveform.masked_fill_(time >= samples_of(lengths, config)[:, None], 0)


def spectral_convergence(
    waveform: Waveform, magnitude: Magnitude, config: AudioConfig
) -> Float[Tensor, " batch"]:
    """Compute the relative error of a waveform's STFT magnitudes; lower is better, 0 is exact.

    It is |S - T| / |T|, where S are the magnitudes of `waveform` and T is `magnitude`; 20·log10 of
    it is in decibels. The norm is taken over positive and negative frequencies, since that is the
    error that classic Griffin-Lim lowers with every iteration. Two silent spectra have the error 0.

    Args:
        waveform: (batch, samples), such as a result of `griffin_lim`.
        magnitude: target (batch, frames, bins).
        config: audio settings of the target.

    Returns:
        The error of each item, (batch).
    """
    weights = magnitude.new_full((config.bins,), 2.0)
    weights[0] = 1.0
    if config.n_fft % 2 == 0:  # with an odd n_fft, the last bin has a negative frequency too
        weights[-1] = 1.0
    error = magnitude_of(waveform, config) - magnitude
    squares = [(part.square() * weights).sum((1, 2)) for part in (error, magnitude)]
    return (squares[0] / squares[1].clamp(min=torch.finfo(magnitude.dtype).tiny)).sqrt()


def check_invertible(config: AudioConfig) -> None:
    """Check that `griffin_lim` can invert the magnitudes of these audio settings.

    Settings must have a Hann window, no snipped edges and no mean removal, which excludes the
    preset `kaldi`. Every sample must lie under a window that is not nearly 0 there, which excludes
    a hop almost as long as the window.

    Args:
        config: audio settings of the magnitudes.

    Raises:
        ConfigError: the magnitudes cannot be inverted.
    """
    for name, plain in _PLAIN.items():
        if getattr(config, name) != plain:
            raise ConfigError(
                f"{name}: Griffin-Lim cannot undo {getattr(config, name)!r}, only {plain!r}",
                "use settings made for synthesis, such as the preset nvidia",
            )
    smallest, largest = overlaps(config.hop, config.window)
    if smallest < _NOTHING * largest:
        raise ConfigError(
            f"hop: {config.hop} with window {config.window} leaves samples between two windows, "
            "which Griffin-Lim cannot invert",
            f"set hop to {max(1, config.window // 4)}, at most {max(1, config.window // 2)}",
        )


def check_settings(
    config: AudioConfig,
    iterations: int,
    momentum: float | int,
    power: float | int,
    seed: int | None,
) -> None:
    """Check the arguments of `griffin_lim`, except the magnitudes and their lengths.

    Args:
        config: audio settings, which Griffin-Lim must be able to invert (`check_invertible`).
        iterations: number of iterations, 0 or more.
        momentum: momentum of the fast algorithm, 0 for the classic one.
        power: exponent of the magnitudes.
        seed: seed of the initial phases, or None.

    Raises:
        ConfigError: an argument is out of range, or the settings have no inverse.
    """
    checked("iterations", iterations, CountOrNone)
    checked("momentum", momentum, BelowOne)
    checked("power", power, _POWER)
    checked("seed", seed, DrawSeed | None)
    check_invertible(config)


def clean(
    magnitude: Magnitude, config: AudioConfig, frame_lengths: Lengths | None, power: float | int
) -> tuple[Magnitude, Lengths]:
    """Check magnitudes, raise them to a power and set their padding to 0, ready for Griffin-Lim.

    Args:
        magnitude: (batch, frames, bins).
        config: audio settings, whose number of bins the magnitudes must have.
        frame_lengths: (batch), number of valid frames; None if all are valid.
        power: exponent to which the magnitudes are raised.

    Returns:
        The new magnitudes (batch, frames, bins), and the number of valid frames of each item
        (batch).

    Raises:
        ConfigError: the number of bins differs from the config's.
        DataError: an item has NaN or Inf; a length is below 1 or exceeds the number of frames.
    """
    if magnitude.shape[2] != config.bins:
        raise ConfigError(
            f"magnitude has {magnitude.shape[2]} bins, n_fft {config.n_fft} has {config.bins}",
            "use the AudioConfig that the magnitude was made with",
        )

    batch, frames, _ = magnitude.shape
    if frame_lengths is None:
        frame_lengths = torch.full((batch,), frames)
    checked = checked_lengths(frame_lengths, magnitude.shape, "frame_lengths", least=1, wait=True)
    lengths = checked.to(magnitude.device)
    valid = torch.arange(frames, device=magnitude.device) < lengths[:, None]
    target = magnitude.float() if magnitude.dtype.itemsize < 4 else magnitude
    target = target.masked_fill(~valid[:, :, None], 0).clamp(min=0)
    target = target if power == 1 else target.pow(power)
    bad = ~target.isfinite().flatten(1).all(1)
    if bool(bad.any()):
        raise DataError(
            f"magnitude of item {int(bad.int().argmax())} has NaN or Inf",
            "look at what made it: a diverged model, or compressed values that were not expanded",
        )
    return target, lengths


class Phases:
    """Source of random initial phases for Griffin-Lim, which also works frame by frame.

    Call `take` for the phases of the next frames. All items of a batch share them, so that a result
    does not depend on the other items.

    Args:
        seed: seed of the draws; None draws a seed from torch. They are made on the CPU, so that
            they are equal on every device.
        bins: number of frequency bins of a frame.
    """

    def __init__(self, seed: int | None, bins: int) -> None:
        seed = int(torch.randint(2**62, ())) if seed is None else seed
        self.generator = torch.Generator().manual_seed(seed)
        self.left = torch.empty(0, bins)

    def take(self, frames: int) -> Float[Tensor, "frames bins"]:
        """Return the initial phases of the next frames, uniform in [0, 2π).

        Args:
            frames: number of frames.

        Returns:
            Phases in radians, (frames, bins).
        """
        parts, bins = [self.left], self.left.shape[1]
        for _ in range(len(self.left), frames, _DRAW):
            parts.append(torch.rand(_DRAW, bins, generator=self.generator))
        drawn = torch.cat(parts)
        self.left = drawn[frames:]
        return drawn[:frames] * (2 * torch.pi)


def undo_pre_emphasis(
    waveform: Waveform, config: AudioConfig, before: Float[Tensor, "batch 1"]
) -> Waveform:
    """Undo pre-emphasis of waveforms: y[t] = x[t] + a·y[t-1].

    Args:
        waveform: x (batch, samples), with the pre-emphasis of `config`.
        config: audio settings, of which a is `pre_emphasis`; 0 changes nothing.
        before: y[-1] (batch, 1), the result's sample before the first one; 0 at the start of a
            sound.

    Returns:
        y (batch, samples).
    """
    if not config.pre_emphasis or not waveform.shape[1]:
        return waveform
    first = waveform[:, :1] + config.pre_emphasis * before
    waveform = torch.cat([first, waveform[:, 1:]], dim=1)
    back = waveform.new_tensor([1.0, -config.pre_emphasis])
    ahead = waveform.new_tensor([1.0, 0.0])
    return torchaudio.functional.lfilter(waveform, back, ahead, clamp=False)
