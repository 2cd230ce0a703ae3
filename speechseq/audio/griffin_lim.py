"""Griffin-Lim: a waveform whose magnitudes are the given ones, by alternating projections.

The waveform is kept between iterations, not the phases: the momentum of the fast variant is
linear, so it acts on samples as well as on spectra, at a quarter of the memory. The inverse is
the least-squares one of the transform that `magnitude` computes, mirrored ends included, so that
without momentum the error can not rise, at the edges neither.
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
from speechseq.audio.stft_cpu import kernel_transforms, project, turned
from speechseq.eager import has_memory
from speechseq.errors import ConfigError, DataError
from speechseq.ranges import BelowOne, CountOrNone, DrawSeed, Range, checked
from speechseq.shapes import Lengths, Magnitude, Waveform

# what its inverse knows: other values are refused
_PLAIN = {
    "window_shape": "hann",
    "snip_edges": False,
    "gain": 1.0,
    "pre_emphasis_by_frame": False,
    "remove_mean": False,
}
_POWER = Annotated[float, Range(0, 10, above=True)]
_LEAST = 0.08  # of the largest sum of squared windows: hops up to 0.7 windows stay above it
_NOTHING = 1e-3  # of it: below, sound between two windows is lost (from a hop of 0.9 windows on)
_DRAW = 64  # frames of phases drawn at a time: a longer item draws the same ones first


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
    """A waveform with these linear magnitudes: (batch, frames, bins) to (batch, samples).

    samples is (frames - 1)·hop for centred configs, frames·hop for the others (HiFi-GAN's).
    Item i is what it would be alone, whatever stands in its padding; after its own samples
    come zeros. Magnitudes are raised to `power` first (Tacotron: 1.2); pre-emphasis is undone.

    Args:
        iterations: projections after the first inverse; 0 keeps random phases.
        momentum: 0 is the classic algorithm, 0.99 the fast one.
        seed: of the first phases; the same on every device. None draws one from torch.
        frame_lengths: (batch) frames of each item; None means all.

    Raises:
        ConfigError: iterations or momentum out of range, bins that are not config's, frames
            without an inverse (as `check_invertible`).
        DataError: NaN or Inf within an item; a length below 1 or beyond the frames.

    Source: Griffin and Lim 1984; Perraudin, Balazs and Søndergaard 2013 (momentum).
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
    """How far the waveform's magnitudes are from the given ones, |S - T| / |T| for each item.

    Over the whole spectrum, negative frequencies too: that is the norm which classic Griffin-Lim
    lowers. 20·log10 of it are decibels; 0 where the target is all zeros and reached.
    """
    weights = magnitude.new_full((config.bins,), 2.0)
    weights[0] = 1.0
    if config.n_fft % 2 == 0:  # of an odd one, the last bin has a negative frequency too
        weights[-1] = 1.0
    error = magnitude_of(waveform, config) - magnitude
    squares = [(part.square() * weights).sum((1, 2)) for part in (error, magnitude)]
    return (squares[0] / squares[1].clamp(min=torch.finfo(magnitude.dtype).tiny)).sqrt()


def check_invertible(config: AudioConfig) -> None:
    """Raise ConfigError unless `griffin_lim` can invert the magnitudes of these settings.

    It knows plain Hann windows alone (`kaldi` has others, snipped edges and a mean removed), and
    every sample has to be under a window that is not nearly 0 there.
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
    """The smallest and the largest sum of squared windows at any sample of an endless signal."""
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
    """On a CPU: it does no work on padding then, and what it works on stays in the cache."""
    return target.device.type == "cpu"


def _clean(
    magnitude: Magnitude, frame_lengths: Lengths | None, power: float | int
) -> tuple[Magnitude, Lengths]:
    """The target with zeros in the padding, and its lengths."""
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
    """First phases, one set for every item: an item's do not depend on its row or its batch."""
    if seed is None:
        seed = int(torch.randint(2**62, ()))
    generator = torch.Generator().manual_seed(seed)  # of the CPU: the same on every device
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
    """Griffin-Lim on items of equal lengths, or of their own."""
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
        # the two buffers change places: large ones are dear to allocate again each time
        new = torch.mul(fold_back(whole, samples, padding, own), envelope, out=guess)
        guess, waveform = torch.lerp(waveform, new, 1 + momentum, out=waveform), new
    return waveform


def _runs_in_the_kernel(target: Magnitude, config: AudioConfig) -> bool:
    one = _works_row_by_row(target) and len(target) == 1
    return one and has_memory(target) and kernel_transforms(config.n_fft)


def _project(padded: Padded, target: Magnitude, config: AudioConfig, sums: Tensor) -> None:
    """Give each frame its target magnitude, keep its phase, add the frames up again."""
    tiny = torch.finfo(target.dtype).tiny
    window = hann(config.window, padded.device, padded.dtype)
    samples = frame(padded, config.n_fft, config.hop, config.window)
    for piece in pieces(target.shape[1], target.device, target.dtype, config.n_fft):
        spectrum = torch.fft.rfft(samples[:, piece] * window, n=config.n_fft)
        square = torch.view_as_real(spectrum).square()
        scale = square[..., 0].add(square[..., 1]).add_(tiny).rsqrt_().mul_(target[:, piece])
        spectrum.mul_(scale)  # of the complex view: the pairs would be scaled one by one
        _synthesise(spectrum, config, sums[:, piece.start * config.hop :])


def _synthesise(spectrum: Tensor, config: AudioConfig, sums: Tensor) -> None:
    """Inverse transform, window, overlap and add: what still has to be divided by the envelope."""
    frames = torch.fft.irfft(spectrum, n=config.n_fft)[..., : config.window]
    _overlap_add(frames, hann(config.window, frames.device, frames.dtype), config, sums)


def _overlap_add(frames: Tensor, window: Tensor, config: AudioConfig, sums: Tensor) -> None:
    overlap_add(frames, window, config.hop, sums[:, (config.n_fft - config.window) // 2 :])


def _room(frames: int, config: AudioConfig) -> int:
    return (frames + config.n_fft // config.hop + 2) * config.hop


def _envelope(
    target: Magnitude, config: AudioConfig, lengths: Lengths | None, own: Lengths | None
) -> Waveform:
    """One over the sum of squared windows at each sample, of an item's own frames alone.

    Sums far below the largest are divided by as if they were larger.
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
    # where windows hardly reach, little is known: that little stays little, it is not blown up
    return torch.where(total > 1e-8, 1 / total.clamp(min=least), 0)


def _finish(waveform: Waveform, config: AudioConfig, lengths: Lengths) -> Waveform:
    """Undo pre-emphasis, y[t] = x[t] + a·y[t-1], and end each item where its own frames end."""
    if config.pre_emphasis and waveform.shape[1]:
        back = waveform.new_tensor([1.0, -config.pre_emphasis])
        ahead = waveform.new_tensor([1.0, 0.0])
        waveform = torchaudio.functional.lfilter(waveform, back, ahead, clamp=False)
    outside = torch.arange(waveform.shape[1], device=waveform.device) >= lengths[:, None]
    return waveform.masked_fill_(outside, 0)
