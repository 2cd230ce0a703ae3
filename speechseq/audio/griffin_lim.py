"""Griffin-Lim: waveforms from magnitudes by alternating projections.

Iterations keep the waveform rather than the phases: the momentum of the fast variant is linear, so
it can act on samples instead of spectra, at a quarter of the memory. The inverse is the
least-squares inverse of the transform in `magnitude`, mirrored ends included. Without momentum the
error therefore never increases, not even at the edges.
"""

import functools
from typing import Annotated

import torch
import torch.nn.functional as F
import torchaudio.functional
from jaxtyping import Float
from torch import Tensor

from speechseq.arguments import checked_lengths
from speechseq.audio.mel import AudioConfig, samples_of
from speechseq.audio.mel import magnitude as magnitude_of
from speechseq.audio.spectrogram import (
    Padded,
    fold_back,
    frame,
    hann,
    overlap_add,
    pieces,
    reflect,
)
from speechseq.audio.stft_cpu import project, supported, turned
from speechseq.eager import has_memory
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
_LEAST = 0.08  # lower bound of the envelope relative to its maximum; hops to 0.7 windows stay above
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
    """Invert linear magnitudes (batch, frames, bins) to waveforms (batch, samples).

    The number of samples is (frames - 1)·hop for centred configs, frames·hop for the others (such
    as `hifigan`). An item's result does not depend on the rest of the batch or on padding; zeros
    follow its last sample. Magnitudes are raised to `power` first (Tacotron: 1.2); pre-emphasis is
    undone.

    Args:
        iterations: number of projections after the first inverse; 0 keeps random phases.
        momentum: 0 is the classic algorithm, 0.99 the fast one.
        seed: seed of the initial phases, which are the same on every device; None draws a seed
            from torch.
        frame_lengths: (batch), number of valid frames of each item; None if all are valid.

    Raises:
        ConfigError: iterations or momentum is out of range, the number of bins differs from the
            config's, or the settings have no inverse (see `check_invertible`).
        DataError: an item has NaN or Inf; a length is below 1 or exceeds the number of frames.

    Source: Griffin and Lim 1984; Perraudin, Balazs and Søndergaard 2013 (momentum).

    Examples:
        >>> from speechseq.audio.mel import AudioConfig, magnitude
        >>> waveform, audio = torch.sin(torch.arange(22016) / 20).unsqueeze(0), AudioConfig()
        >>> griffin_lim(magnitude(waveform, audio), audio, iterations=4, seed=0).shape
        torch.Size([1, 22016])
    """
    _check(magnitude, config, iterations, momentum)
    checked("power", power, _POWER)
    checked("seed", seed, DrawSeed | None)
    with torch.no_grad():
        target, lengths = _clean(magnitude, frame_lengths, power)
        phases = _phases(target, seed)
        if not _works_row_by_row(target):
            waveform = _invert(target, phases, config, iterations, momentum, lengths)
        else:
            waveform = target.new_zeros(len(target), samples_of(target.shape[1], config))
            for row, frames in enumerate(lengths.tolist()):
                item = target[row : row + 1, :frames]
                own = _invert(item, phases[:frames], config, iterations, momentum)
                waveform[row, : own.shape[1]] = own[0]
        return _finish(waveform, config, samples_of(lengths, config))


def spectral_convergence(
    waveform: Waveform, magnitude: Magnitude, config: AudioConfig
) -> Float[Tensor, " batch"]:
    """Relative distance of a waveform's magnitudes S from the target T: |S - T| / |T| (batch).

    S is that of `waveform` (batch, samples) with the settings `config`, T is `magnitude` (batch,
    frames, bins). The norm also covers negative frequencies, because classic Griffin-Lim lowers
    that norm. Take 20·log10 of the result for decibels. It is 0 if both are zero.
    """
    weights = magnitude.new_full((config.bins,), 2.0)
    weights[0] = 1.0
    if config.n_fft % 2 == 0:  # with an odd n_fft, the last bin has a negative frequency too
        weights[-1] = 1.0
    error = magnitude_of(waveform, config) - magnitude
    squares = [(part.square() * weights).sum((1, 2)) for part in (error, magnitude)]
    return (squares[0] / squares[1].clamp(min=torch.finfo(magnitude.dtype).tiny)).sqrt()


def check_invertible(config: AudioConfig) -> None:
    """Check that `griffin_lim` can invert the magnitudes of these settings.

    Only Hann windows without further processing are supported (the preset `kaldi` has another
    window, snipped edges and mean removal), and every sample must lie under a window that is not
    nearly 0 there.

    Raises:
        ConfigError: the magnitudes cannot be inverted.
    """
    for name, plain in _PLAIN.items():
        if getattr(config, name) != plain:
            raise ConfigError(
                f"{name}: Griffin-Lim cannot undo {getattr(config, name)!r}, only {plain!r}",
                "use settings made for synthesis, such as the preset nvidia",
            )
    smallest, largest = _overlaps(config.hop, config.window)
    if smallest < _NOTHING * largest:
        raise ConfigError(
            f"hop: {config.hop} with window {config.window} leaves samples between two windows, "
            "which Griffin-Lim cannot invert",
            f"set hop to {max(1, config.window // 4)}, at most {max(1, config.window // 2)}",
        )


@functools.lru_cache(maxsize=32)
def _overlaps(hop: int, window: int) -> tuple[float, float]:
    """Smallest and largest sum of squared windows over the samples of an infinite signal."""
    squares = hann(window, torch.device("cpu"), torch.float64).square()
    sums = F.pad(squares, (0, -window % hop)).view(-1, hop).sum(0)
    return float(sums.min()), float(sums.max())


def _check(
    magnitude: Magnitude, config: AudioConfig, iterations: int, momentum: float | int
) -> None:
    checked("iterations", iterations, CountOrNone)
    checked("momentum", momentum, BelowOne)
    check_invertible(config)
    if magnitude.shape[2] != config.bins:
        raise ConfigError(
            f"magnitude has {magnitude.shape[2]} bins, n_fft {config.n_fft} has {config.bins}",
            "use the AudioConfig that the magnitude was made with",
        )


def _works_row_by_row(target: Magnitude) -> bool:
    """True on a CPU: row by row, no padding is processed and an item stays in the cache."""
    return target.device.type == "cpu"


def _clean(
    magnitude: Magnitude, frame_lengths: Lengths | None, power: float | int
) -> tuple[Magnitude, Lengths]:
    """Target magnitudes with zeros in the padding, and the lengths."""
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


def _phases(target: Magnitude, seed: int | None) -> Float[Tensor, "frames bins"]:
    """Initial phases, shared by all items, so that they do not depend on row or batch."""
    if seed is None:
        seed = int(torch.randint(2**62, ()))
    generator = torch.Generator().manual_seed(seed)  # on a CPU: equal on every device
    frames, bins = target.shape[1:]
    parts = [torch.rand(_DRAW, bins, generator=generator) for _ in range(0, frames, _DRAW)]
    return torch.cat(parts)[:frames].to(target) * (2 * torch.pi)


def _invert(
    target: Magnitude,
    phases: Float[Tensor, "frames bins"],
    config: AudioConfig,
    iterations: int,
    momentum: float | int,
    lengths: Lengths | None = None,
) -> Waveform:
    """Griffin-Lim on a batch of equal lengths, or of the given `lengths`."""
    batch, frames, _ = target.shape
    samples, padding = samples_of(frames, config), config.padding
    if samples == 0:
        return target.new_zeros(batch, 0)
    own = None if lengths is None else samples_of(lengths, config)
    envelope = _envelope(target, config, lengths, own)
    sums, padded = target.new_empty(batch, _room(frames, config)), None
    spectrum = target * torch.complex(phases.cos(), phases.sin())
    _synthesise(spectrum, config, sums.zero_())
    whole = sums[:, : samples + 2 * padding]
    waveform = fold_back(whole, samples, padding, own) * envelope
    guess, by_kernel = waveform.clone(), _runs_in_the_kernel(target, config)
    wanted = turned(target) if by_kernel else target
    for _ in range(iterations):
        padded = reflect(guess, padding, own, out=padded)
        if by_kernel:
            project(padded, wanted, frames, config, sums)
        else:
            _project(padded, target, config, sums.zero_())
        # swap the two buffers: allocating large ones in each iteration is slow
        new = torch.mul(fold_back(whole, samples, padding, own), envelope, out=guess)
        guess, waveform = torch.lerp(waveform, new, 1 + momentum, out=waveform), new
    return waveform


def _runs_in_the_kernel(target: Magnitude, config: AudioConfig) -> bool:
    one = _works_row_by_row(target) and len(target) == 1
    return one and has_memory(target) and supported(config.n_fft)


def _project(padded: Padded, target: Magnitude, config: AudioConfig, sums: Tensor) -> None:
    """One projection: set each frame's magnitude, keep its phase, and overlap-add the frames."""
    tiny = torch.finfo(target.dtype).tiny
    window = hann(config.window, padded.device, padded.dtype)
    samples = frame(padded, config.n_fft, config.hop, config.window)
    for piece in pieces(target.shape[1], target.device, target.dtype, config.n_fft):
        spectrum = torch.fft.rfft(samples[:, piece] * window, n=config.n_fft)
        square = torch.view_as_real(spectrum).square()
        scale = square[..., 0].add(square[..., 1]).add_(tiny).rsqrt_().mul_(target[:, piece])
        spectrum.mul_(scale)  # on the complex tensor: faster than on the pairs of its real view
        _synthesise(spectrum, config, sums[:, piece.start * config.hop :])


def _synthesise(spectrum: Tensor, config: AudioConfig, sums: Tensor) -> None:
    """Inverse transform, window, overlap and add, without the division by the envelope."""
    frames = torch.fft.irfft(spectrum, n=config.n_fft)[..., : config.window]
    _overlap_add(frames, hann(config.window, frames.device, frames.dtype), config, sums)


def _overlap_add(frames: Tensor, window: Tensor, config: AudioConfig, sums: Tensor) -> None:
    overlap_add(frames, window, config.hop, sums[:, (config.n_fft - config.window) // 2 :])


def _room(frames: int, config: AudioConfig) -> int:
    return (frames + config.n_fft // config.hop + 2) * config.hop


def _envelope(
    target: Magnitude, config: AudioConfig, lengths: Lengths | None, own: Lengths | None
) -> Waveform:
    """Inverse of the sum of squared windows at each sample, over an item's valid frames.

    Sums far below the largest are raised to a lower bound before the division.
    """
    batch, count, _ = target.shape
    window = hann(config.window, target.device, target.dtype)
    frames = window.expand(1 if lengths is None else batch, count, -1)
    if lengths is not None:
        valid = torch.arange(count, device=target.device) < lengths[:, None]
        frames = frames * valid[:, :, None]
    sums = target.new_zeros(len(frames), _room(count, config))
    _overlap_add(frames, window, config, sums)
    samples, padding = samples_of(count, config), config.padding
    total = fold_back(sums[:, : samples + 2 * padding], samples, padding, own)
    least = _LEAST * _overlaps(config.hop, config.window)[1]
    # samples hardly covered by a window are not amplified
    return torch.where(total > 1e-8, 1 / total.clamp(min=least), 0)


def _finish(waveform: Waveform, config: AudioConfig, lengths: Lengths) -> Waveform:
    """Undo pre-emphasis, y[t] = x[t] + a·y[t-1], and set samples past each item's length to 0."""
    if config.pre_emphasis and waveform.shape[1]:
        back = waveform.new_tensor([1.0, -config.pre_emphasis])
        ahead = waveform.new_tensor([1.0, 0.0])
        waveform = torchaudio.functional.lfilter(waveform, back, ahead, clamp=False)
    outside = torch.arange(waveform.shape[1], device=waveform.device) >= lengths[:, None]
    return waveform.masked_fill_(outside, 0)
