"""Frames, windows, mel filters and their adjoints, shared by all conventions."""

import functools
import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from speechseq.shapes import Lengths, Waveform

MelScale = Literal["slaney", "htk"]
Triangles = Literal["hz", "mel"]
WindowShape = Literal["hann", "hamming", "povey"]
Padded = Float[Tensor, "batch padded"]  # a waveform and its mirrored ends
_CACHE_BYTES = 1 << 20
_FILTERS_A_BAND = 20
_SLANEY_HZ, _SLANEY_MELS, _SLANEY_STEP = 1000.0, 15.0, math.log(6.4) / 27.0


@functools.lru_cache(maxsize=32)
def hann(window: int, device: torch.device, dtype: torch.dtype) -> Float[Tensor, " window"]:
    """Periodic Hann window of `window` samples, computed in float64 and converted to `dtype`.

    The tensor is cached; do not modify it.
    """
    with torch.inference_mode(False):  # a cached inference tensor would break later training
        return torch.hann_window(window, dtype=torch.float64).to(device, dtype)


@functools.lru_cache(maxsize=32)
def window_weights(
    shape: WindowShape, window: int, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, " window"]:
    """Window of `window` samples with the shape `shape`, "hann", "hamming" or "povey".

    The Hann window is periodic; Hamming and Povey (Hann to the power of 0.85) are symmetric. The
    tensor is cached; do not modify it.
    """
    if shape == "hann":
        return hann(window, device, dtype)
    with torch.inference_mode(False):
        if shape == "hamming":
            weights = torch.hamming_window(window, periodic=False, dtype=torch.float64)
        else:
            weights = torch.hann_window(window, periodic=False, dtype=torch.float64) ** 0.85
        return weights.to(device, dtype)


@functools.lru_cache(maxsize=32)
def mel_filters(
    sample_rate: int,
    n_fft: int,
    mels: int,
    fmin: float,
    fmax: float,
    scale: MelScale,
    area_norm: bool,
    device: torch.device,
    dtype: torch.dtype,
    triangles: Triangles = "hz",
) -> Float[Tensor, "bins mels"]:
    """Triangular mel filters (bins, mels); magnitudes (frames, bins) @ filters are mel bands.

    The filters are computed in float64, and the tensor is cached; do not modify it.

    Args:
        sample_rate: samples per second.
        n_fft: length of the Fourier transform in samples; there are n_fft // 2 + 1 bins.
        mels: number of bands.
        fmin: lower edge of the lowest band, in Hz.
        fmax: upper edge of the highest band, in Hz.
        scale: mel scale on which the bands are equally spaced, "slaney" or "htk".
        area_norm: scale each filter to the area 1 over Hz (Slaney's Auditory Toolbox) instead of
            the peak 1.
        device, dtype: those of the result.
        triangles: scale on which the filters are triangular, "hz" or "mel" (Kaldi).
    """
    with torch.inference_mode(False):
        bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
        low, high = hz_to_mel(fmin, scale), hz_to_mel(fmax, scale)
        corners = torch.linspace(low, high, mels + 2, dtype=torch.float64)
        edges = mel_to_hz(corners, scale)
        if triangles == "hz":
            filters = _triangles(bins, edges)
        else:
            places = [hz_to_mel(hz, scale) for hz in bins.tolist()]
            filters = _triangles(torch.tensor(places, dtype=torch.float64), corners)
        if area_norm:
            filters *= 2 / (edges[2:] - edges[:-2])
        return filters.to(device, dtype)


class Band(NamedTuple):
    """Group of neighbouring mel filters, cut to the frequency bins where they are not 0.

    Attributes:
        bins: slice of all bins that the group uses.
        filters: (bins of the slice, filters of the group).
    """

    bins: slice
    filters: Float[Tensor, "bins mels"]


def bands_of(filters: Float[Tensor, "bins mels"]) -> list[Band]:
    """Split mel filters (bins, mels) into groups of neighbours, each cut to the bins that it uses.

    A product of magnitudes with each group is faster than one with all filters, which are mostly 0.
    """
    return [_band(some.contiguous()) for some in filters.split(_FILTERS_A_BAND, 1)]


def _band(filters: Float[Tensor, "bins mels"]) -> Band:
    heard = filters.any(1).nonzero().flatten().tolist() or [0]
    bins = slice(heard[0], heard[-1] + 1)
    return Band(bins, filters[bins])


def _triangles(
    places: Float[Tensor, " bins"], edges: Float[Tensor, " corners"]
) -> Float[Tensor, "bins mels"]:
    """Value of each triangular filter at `places`; filter i spans edges i to i + 2, peak 1."""
    width = edges.diff()
    rising = (places[:, None] - edges[:-2]) / width[:-1]
    falling = (edges[2:] - places[:, None]) / width[1:]
    return torch.minimum(rising, falling).clamp_(min=0)


def hz_to_mel(hz: float, scale: MelScale) -> float:
    """Convert Hz to mel, on the scale "slaney" (linear to 1 kHz, then logarithmic) or "htk"."""
    if scale == "htk":
        return 2595.0 * math.log10(1.0 + hz / 700.0)
    if hz < _SLANEY_HZ:
        return hz * _SLANEY_MELS / _SLANEY_HZ
    return _SLANEY_MELS + math.log(hz / _SLANEY_HZ) / _SLANEY_STEP


def mel_to_hz(mel: Float[Tensor, " n"], scale: MelScale) -> Float[Tensor, " n"]:
    """Convert mels (n) to Hz (n), on the scale "slaney" or "htk"; the inverse of `hz_to_mel`."""
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    linear = mel * _SLANEY_HZ / _SLANEY_MELS
    curved = _SLANEY_HZ * torch.exp(_SLANEY_STEP * (mel - _SLANEY_MELS).clamp(min=0))
    return torch.where(mel < _SLANEY_MELS, linear, curved)


def reflect(
    waveform: Waveform, padding: int, lengths: Lengths | None = None, out: Padded | None = None
) -> Padded:
    """Extend waveforms by reflection: (batch, samples) to (batch, samples + 2·padding).

    With `lengths` (batch), each row is mirrored at its own end: its first lengths[i] + 2·padding
    samples do not depend on the padding of the batch; later samples are finite and meaningless.
    Items shorter than `padding` are mirrored repeatedly. `out` is a tensor for the result; None
    allocates one.
    """
    if lengths is None and waveform.shape[1] > padding:
        before, after = waveform[:, 1 : padding + 1], waveform[:, -padding - 1 : -1]
        return torch.cat([before.flip(1), waveform, after.flip(1)], 1, out=out)
    return torch.gather(waveform, 1, _mirror_index(waveform, padding, lengths), out=out)


def fold_back(
    padded: Padded, samples: int, padding: int, lengths: Lengths | None = None
) -> Waveform:
    """Apply the adjoint of `reflect`: add each mirrored sample to the sample it was copied from.

    `padded` (batch, samples + 2·padding) is overwritten; the result is (batch, samples). `padding`
    and `lengths` are those of `reflect`; the samples of row i after the first lengths[i] +
    2·padding must be 0.
    """
    waveform = padded[:, padding : padding + samples]
    if lengths is None and samples > padding:
        waveform[:, 1 : padding + 1] += padded[:, :padding].flip(1)
        waveform[:, samples - 1 - padding : samples - 1] += padded[:, padding + samples :].flip(1)
        return waveform
    index = _mirror_index(waveform, padding, lengths)
    return torch.zeros_like(waveform).scatter_add_(1, index, padded)


def _mirror_index(
    waveform: Waveform, padding: int, lengths: Lengths | None
) -> Int[Tensor, "batch padded"]:
    """Index of the source sample for each position of the padded rows."""
    batch, samples = waveform.shape
    position = torch.arange(-padding, samples + padding, device=waveform.device).abs()
    own = torch.full((batch,), samples) if lengths is None else lengths
    last = (own.to(waveform.device) - 1)[:, None]
    there = position % (2 * last).clamp(min=1)
    return torch.minimum(there, 2 * last - there).clamp_(min=0)


def frame(padded: Padded, span: int, hop: int, window: int) -> Float[Tensor, "batch frames window"]:
    """Cut signals (batch, padded) into overlapping frames; returns a view (batch, frames, window).

    Args:
        padded: (batch, padded), waveforms extended at both ends, see `reflect`.
        span: number of samples of a frame, at least `window`.
        hop: distance from one frame to the next, in samples.
        window: number of samples in the middle of each frame that are returned.
    """
    start = (span - window) // 2
    return padded.unfold(1, span, hop)[..., start : start + window]


def magnitudes(
    frames: Float[Tensor, "batch frames window"],
    n_fft: int,
    epsilon: float,
    bins: int,
    dtype: torch.dtype,
) -> Float[Tensor, "batch frames bins"]:
    """Compute magnitudes sqrt(re² + im² + epsilon) of the Fourier transform of windowed frames.

    Args:
        frames: (batch, frames, window), multiplied by the window, in the dtype of the transform.
        n_fft: length of the transform in samples.
        epsilon: added to the power.
        bins: number of lowest bins to return.
        dtype: dtype of the result (batch, frames, bins).
    """
    spectrum = torch.fft.rfft(frames, n=n_fft)[..., :bins]
    if frames.requires_grad and not epsilon:
        return spectrum.abs().to(dtype)  # abs has the gradient 0 at 0, a square root NaN
    pairs = torch.view_as_real(spectrum)
    square = pairs.square() if frames.requires_grad else pairs.square_()
    power = square[..., 0] + square[..., 1]
    return (power + epsilon if epsilon else power).to(dtype).sqrt_()


def pre_emphasise(waveform: Waveform, factor: float) -> Waveform:
    """Apply pre-emphasis, x[t] - factor·x[t-1], to waveforms (batch, samples); x[0] is kept."""
    return torch.cat([waveform[:, :1], waveform[:, 1:] - factor * waveform[:, :-1]], 1)


def unmix(
    bands: Float[Tensor, "batch frames mels"], filters: Float[Tensor, "bins mels"], steps: int
) -> Float[Tensor, "batch frames bins"]:
    """Estimate linear magnitudes from mel bands, so that magnitudes @ filters ≈ bands.

    Multiplicative updates keep them non-negative, and lower the Kullback-Leibler divergence. Bins
    that no filter covers are 0.

    Args:
        bands: mel magnitudes (batch, frames, mels), not logarithmic.
        filters: (bins, mels), see `mel_filters`.
        steps: number of updates; before the first, each band is spread evenly over its bins.

    Source: Lee and Seung 2001.
    """
    tiny = 1e-20  # small enough to be silence, large enough to divide by
    spread = (filters / filters.sum(1, keepdim=True).clamp(min=tiny)).T
    magnitude = (bands / filters.sum(0).clamp(min=tiny)) @ spread
    for _ in range(steps):
        magnitude = magnitude * ((bands / (magnitude @ filters).clamp(min=tiny)) @ spread)
    return magnitude


def working_dtype(samples: Tensor) -> torch.dtype:
    """Dtype of an STFT: double on a CPU, so that quiet bins next to loud ones are exact.

    On other devices it is the dtype of `samples`.
    """
    return torch.float64 if samples.device.type == "cpu" else samples.dtype


def pieces(count: int, device: torch.device, dtype: torch.dtype, n_fft: int) -> list[slice]:
    """Split the `count` frames of an STFT into slices to process one by one, small on a CPU.

    There, each fits into the cache; `n_fft` and `dtype` give the size of a frame. Other devices get
    one slice.
    """
    most = _CACHE_BYTES // (n_fft * dtype.itemsize) if device.type == "cpu" else count
    size = math.ceil(count / math.ceil(count / max(1, most))) if count else 1
    return [slice(begin, min(begin + size, count)) for begin in range(0, count, size)]


def overlap_add(
    frames: Float[Tensor, "batch frames window"],
    weights: Float[Tensor, " window"],
    hop: int,
    into: Float[Tensor, "batch room"],
) -> None:
    """Multiply frames by a window and add them to `into`, each `hop` samples after the previous.

    Args:
        frames: (batch, frames, window).
        weights: (window), the window.
        hop: distance from one frame to the next, in samples.
        into: (batch, samples), modified in place from its first sample on; it has at least (frames
            + ceil(window / hop))·hop samples.
    """
    count, window = frames.shape[1:]
    for block in range(math.ceil(window / hop)):
        first, end = block * hop, min(window, (block + 1) * hop)
        rows = into[:, first : first + count * hop].unflatten(1, (count, hop))
        rows[..., : end - first].addcmul_(frames[..., first:end], weights[first:end])
