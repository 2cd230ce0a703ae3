"""Prosody of waveforms: F0 by batched YIN, voicing and energy of each frame."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from speechseq.arguments import checked_lengths
from speechseq.audio.spectrogram import working_dtype
from speechseq.errors import ConfigError, DataError
from speechseq.shapes import Lengths, Waveform

HOP = 256  # samples between frames, at every sample rate
QUIETEST = -100.0  # dB, the energy of digital silence
SILENT = -70.0  # dB; frames with less energy are unvoiced
_WINDOW = 0.0464  # seconds over which YIN's differences are summed
_RATES = (4000, 384_000)  # Hz
_SAMPLES_AT_A_TIME = 1 << 17  # bounds the memory of frames to a few MB, which a cache holds
_FINEST = 22_050  # Hz; at lower rates, lags are parts of a sample
_CANDIDATES = 8  # dips of the difference function that a frame keeps
_OCTAVE_COST = 0.05  # how much deeper a dip must be than one at half its period
_NEIGHBOURS = 4  # frames on each side among which YIN's step 6 looks for the best estimate
_LIKE = 0.2  # largest distance of a period from its best neighbour's, in nepers
_NO_DIP = math.inf


class Prosody(NamedTuple):
    """Prosody of each frame of a batch; an item has 1 + samples // 256 frames.

    Attributes:
        f0: fundamental frequency in Hz, NaN in unvoiced frames and in the padding.
        voiced: True where a frame has an F0.
        energy: mean square of the samples around the frame's centre in dB, where a full-scale
            square wave has 0 dB and silence has -100 dB; NaN in the padding.
        frame_lengths: number of valid frames of each item.
        frame_seconds: time from one frame to the next.
    """

    f0: Float[Tensor, "batch frames"]
    voiced: Bool[Tensor, "batch frames"]
    energy: Float[Tensor, "batch frames"]
    frame_lengths: Lengths
    frame_seconds: float


class Geometry(NamedTuple):
    """Sizes of the YIN algorithm for a sample rate and a range of F0; `prosody` builds it.

    Attributes:
        window: number of samples over which the squared difference of a lag is summed.
        shortest: shortest period that is searched, in samples.
        longest: longest period that is searched, in samples.
        finer: number of lags tried per sample. At low sample rates a whole number of samples may be
            so far from the period that twice the period fits better.
    """

    window: int
    shortest: int
    longest: int
    finer: int

    @property
    def span(self) -> int:
        """Number of samples that the F0 of one frame is computed from: window + longest lag + 1."""
        return self.window + self.longest + 1


class _Dips(NamedTuple):
    """Dips of the difference function, the best first: periods in samples, and depths d'."""

    period: Float[Tensor, "*frames dips"]
    aperiodicity: Float[Tensor, "*frames dips"]


@torch.no_grad()
def prosody(
    waveform: Waveform,
    sample_rate: int,
    lengths: Lengths | None = None,
    *,
    lowest: float | int = 50.0,
    highest: float | int = 600.0,
    threshold: float | int = 0.3,
) -> Prosody:
    """Measure F0, voicing and energy of waveforms (batch, samples), every 256 samples.

    Frame t is centred on sample 256·t. Where a frame would reach past the ends of an item, F0 is
    that of the first or last whole frame, and energy is the mean over the samples inside. The
    result of an item does not depend on its padding. All is computed in double precision on a CPU.

    Args:
        waveform: (batch, samples) in [-1, 1].
        sample_rate: samples per second, from 4000 to 384,000.
        lengths: samples of each item (batch); None if no row is padded.
        lowest: lowest F0 that is searched, in Hz.
        highest: highest F0 that is searched, in Hz.
        threshold: aperiodicity below which a frame is voiced, from 0 (periodic) to 1.

    Raises:
        ConfigError: the sample rate is implausible, or the range of F0 is empty or too high for it.
        DataError: an item is shorter than one frame (66 ms by default), or holds NaN or infinity.

    Source: de Cheveigné and Kawahara 2002, "YIN, a fundamental frequency estimator for speech and
    music". Step 4 differs: the deepest dip is taken, where YIN takes the first below a threshold;
    each octave to a longer period costs 0.05. Step 6 looks for the best estimate among 4 frames on
    each side.
    """
    shape = _geometry(sample_rate, float(lowest), float(highest))
    lengths = _checked(waveform, lengths, shape.span)
    batch, frames = len(waveform), 1 + waveform.shape[1] // HOP
    frame_lengths = 1 + lengths // HOP
    dtype = working_dtype(waveform)
    dips = _Dips(*waveform.new_full((2, batch, frames, _CANDIDATES), _NO_DIP, dtype=dtype))
    energy = waveform.new_full((batch, frames), math.nan, dtype=dtype)
    valid = torch.arange(frames, device=lengths.device) < frame_lengths[:, None]
    rows, places = valid.nonzero(as_tuple=True)
    every = max(1, _SAMPLES_AT_A_TIME // shape.span)
    for row, place in zip(rows.split(every), places.split(every), strict=True):
        start = HOP * place - shape.span // 2
        start = torch.minimum(start.clamp(min=0), lengths[row] - shape.span)
        some = waveform.unfold(1, shape.span, 1)[row, start].to(dtype)
        total = F.pad(some.square().cumsum(1), (1, 0))
        energy[row, place] = _energy(total, HOP * place - start, shape)
        found = _dips(some, total, shape)
        dips.period[row, place], dips.aperiodicity[row, place] = found
    f0 = sample_rate / _tracked(dips, float(threshold))
    f0 = f0.where(energy > SILENT, math.nan)
    return Prosody(
        f0.to(waveform.dtype),
        f0.isfinite(),
        energy.to(waveform.dtype),
        frame_lengths,
        HOP / sample_rate,
    )


def _geometry(sample_rate: int, lowest: float, highest: float) -> Geometry:
    if not _RATES[0] <= sample_rate <= _RATES[1]:
        raise ConfigError(
            f"sample_rate: F0 cannot be measured at {sample_rate} Hz",
            f"resample to {_RATES[0]} … {_RATES[1]} Hz",
        )
    if not 10 <= lowest < highest <= sample_rate / 4:
        raise ConfigError(
            f"F0 from {lowest:g} to {highest:g} Hz makes no sense at {sample_rate} Hz",
            f"10 <= lowest < highest <= {sample_rate / 4:g}",
        )
    longest = math.ceil(sample_rate / lowest)
    window = max(round(_WINDOW * sample_rate), longest)
    finer = math.ceil(_FINEST / sample_rate)
    return Geometry(window, math.floor(sample_rate / highest), longest, finer)


def _checked(waveform: Waveform, lengths: Lengths | None, shortest: int) -> Lengths:
    """Lengths on the waveform's device; raise DataError for items that cannot be measured."""
    batch, samples = waveform.shape
    if lengths is None:
        lengths = torch.full((batch,), samples)
    lengths = checked_lengths(lengths, waveform.shape, wait=True)
    for row, length in enumerate(lengths.tolist()):
        if length < shortest:
            raise DataError(
                f"waveform {row} has {length} samples, fewer than the {shortest} of one frame",
                "leave it out, or pad it with silence",
            )
        if not waveform[row, :length].isfinite().all():
            raise DataError(
                f"waveform {row} holds NaN or infinity", "leave it out, or repair its file"
            )
    return lengths.to(waveform.device)


def _energy(
    total: Float[Tensor, "n sums"], centre: Int[Tensor, " n"], shape: Geometry
) -> Float[Tensor, " n"]:
    """Energy in dB of the window around each centre, from running sums of squares."""
    begin = (centre - shape.window // 2).clamp(min=0)
    end = (centre + shape.window // 2).clamp(max=shape.span)
    sums = (total.gather(1, at[:, None])[:, 0] for at in (end, begin))
    power = next(sums) - next(sums)
    return 10 * (power / (end - begin)).clamp(min=10 ** (QUIETEST / 10)).log10()


def _dips(
    frames: Float[Tensor, "n span"], total: Float[Tensor, "n sums"], shape: Geometry
) -> _Dips:
    """Deepest dips of each frame's normalised differences, at interpolated lags."""
    raw = _differences(frames, total, shape)
    normal = _normalised(raw)
    first, last = shape.shortest * shape.finer, shape.longest * shape.finer
    before, at, after = (normal[:, first + side : last + 1 + side] for side in (-1, 0, 1))
    depth = at.where((at < before) & (at <= after), _NO_DIP)
    octaves = torch.arange(first, last + 1, device=at.device).to(at.dtype).log2()
    place = (depth + _OCTAVE_COST * octaves).topk(_CANDIDATES, 1, largest=False).indices
    depth, lag = depth.gather(1, place), first + place
    vertex = _vertex(*(raw.gather(1, lag + side) for side in (-1, 0, 1)))
    return _Dips((lag + vertex) / shape.finer, depth)


def _differences(
    frames: Float[Tensor, "n span"], total: Float[Tensor, "n sums"], shape: Geometry
) -> Float[Tensor, "n lags"]:
    """YIN's difference function d(τ) = Σ (x[j] - x[j + τ])², j < window, for all lags (step 2).

    Lags are `finer` to a sample: the transform interpolates products, a line the energies.
    """
    size, lags = _fft_size(shape.span), shape.longest + 2
    still = torch.fft.rfft(frames[:, : shape.window], n=size)
    spectrum = still.conj() * torch.fft.rfft(frames, n=size)
    products = torch.fft.irfft(spectrum, n=size * shape.finer) * shape.finer
    energy = total[:, shape.window :][:, :lags] - total[:, :lags]
    if shape.finer > 1:
        grid = shape.finer * (lags - 1) + 1
        energy = F.interpolate(energy[:, None], grid, mode="linear", align_corners=True)[:, 0]
    energy = energy + energy[:, :1]
    raw = energy - 2 * products[:, : energy.shape[1]]
    rounding = energy * math.sqrt(torch.finfo(energy.dtype).eps) / 100
    return raw.where(raw > rounding, 0.0)


def _normalised(raw: Float[Tensor, "n lags"]) -> Float[Tensor, "n lags"]:
    """Differences over the mean of those up to the same lag (step 3); 1 in digital silence."""
    lag = torch.arange(raw.shape[1], device=raw.device)
    total = raw.cumsum(1)
    return (raw * lag / total).where(total > 0, 1.0)


def _vertex(
    before: Float[Tensor, "n dips"], at: Float[Tensor, "n dips"], after: Float[Tensor, "n dips"]
) -> Float[Tensor, "n dips"]:
    """Lowest place of the parabola through three values (step 5), between -1/2 and 1/2."""
    curvature = before - 2 * at + after
    offset = (before - after) / (2 * curvature)
    return offset.where(curvature > 0, 0.0).clamp(-0.5, 0.5)


def _tracked(dips: _Dips, threshold: float) -> Float[Tensor, "batch frames"]:
    """Period of each frame, near that of the most periodic frame around it; NaN if unvoiced."""
    own, depth = dips.period[..., 0], dips.aperiodicity[..., 0]
    around = F.pad(depth, (_NEIGHBOURS, _NEIGHBOURS), value=_NO_DIP)
    best = around.unfold(1, 2 * _NEIGHBOURS + 1, 1).argmin(-1) - _NEIGHBOURS
    best = (best + torch.arange(own.shape[1], device=own.device)).clamp(0, own.shape[1] - 1)
    like = (dips.period / own.gather(1, best)[..., None]).log().abs() < _LIKE
    depth, place = dips.aperiodicity.where(like, _NO_DIP).min(-1, keepdim=True)
    period = dips.period.gather(2, place).where(depth < threshold, math.nan)[..., 0]
    alike = F.pad(period.log().diff(dim=1).abs() < _LIKE, (1, 1))  # False for NaN
    return period.where(alike[:, 1:] | alike[:, :-1], math.nan)  # a lone frame is no voice


def _fft_size(span: int) -> int:
    """Smallest even size of at least `span` without prime factors above 5."""
    sizes = (2 * size for size in range(math.ceil(span / 2), span + 1))
    return next(size for size in sizes if 60 ** size.bit_length() % size == 0)
