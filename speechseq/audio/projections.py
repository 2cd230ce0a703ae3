"""Iterations of Griffin-Lim: the first inverse from phases, then alternating projections.

Iterations keep the waveform rather than the phases: the momentum of the fast variant is linear, so
it can act on samples instead of spectra, at a quarter of the memory. The inverse is the
least-squares inverse of the transform in `magnitude`, mirrored ends included. Without momentum the
error therefore never increases, not even at the edges.
"""

import functools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from speechseq.audio.mel import AudioConfig, samples_of
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
from speechseq.shapes import Lengths, Magnitude, Waveform

_LEAST = 0.08  # lower bound of the envelope relative to its maximum; hops to 0.7 windows stay above


class Known(NamedTuple):
    """Samples at the beginning of waveforms that `invert` keeps, or stays near to.

    `GriffinLimStream` passes the samples that it has returned already, and its estimate of the
    next.

    Attributes:
        waveform: (batch, samples), the samples.
        trust: (samples) in [0, 1], weight of `waveform` in the result of each iteration: 1 keeps a
            sample, 0 leaves it to Griffin-Lim.
    """

    waveform: Waveform
    trust: Float[Tensor, " samples"]


def invert(
    target: Magnitude,
    phases: Float[Tensor, "frames bins"],
    config: AudioConfig,
    iterations: int,
    momentum: float | int,
    lengths: Lengths | None = None,
    known: Known | None = None,
) -> Waveform:
    """Run Griffin-Lim on magnitudes from given initial phases.

    `griffin_lim` is the function to call: it checks its arguments, draws the phases and undoes
    pre-emphasis.

    Args:
        target: magnitudes (batch, frames, bins), 0 in the padding.
        phases: (frames, bins), initial phases in radians, shared by all items.
        config: audio settings of the magnitudes.
        iterations: number of projections after the first inverse.
        momentum: 0 is the classic algorithm, 0.99 the fast one.
        lengths: (batch), number of valid frames of each item; None if all are valid.
        known: samples at the beginning of the waveforms that are fixed or preferred; None for none.

    Returns:
        Waveforms (batch, samples).
    """
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
    if known is not None:
        waveform[:, : known.waveform.shape[1]] = known.waveform
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
        if known is not None:
            new[:, : known.waveform.shape[1]].lerp_(known.waveform, known.trust)
        guess, waveform = torch.lerp(waveform, new, 1 + momentum, out=waveform), new
    return waveform


def _runs_in_the_kernel(target: Magnitude, config: AudioConfig) -> bool:
    one = works_row_by_row(target) and len(target) == 1
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
    least = _LEAST * overlaps(config.hop, config.window)[1]
    # samples hardly covered by a window are not amplified
    return torch.where(total > 1e-8, 1 / total.clamp(min=least), 0)


def works_row_by_row(target: Magnitude) -> bool:
    """Return True if the items of a batch are inverted one after another, as on a CPU.

    It is faster there: no padding is processed, and an item stays in the cache.

    Args:
        target: magnitudes (batch, frames, bins); only the device matters.
    """
    return target.device.type == "cpu"


@functools.lru_cache(maxsize=32)
def overlaps(hop: int, window: int) -> tuple[float, float]:
    """Smallest and largest sum, over the samples, of the squared Hann windows that cover a sample.

    Args:
        hop: distance of the windows in samples.
        window: length of a window in samples.
    """
    squares = hann(window, torch.device("cpu"), torch.float64).square()
    sums = F.pad(squares, (0, -window % hop)).view(-1, hop).sum(0)
    return float(sums.min()), float(sums.max())
