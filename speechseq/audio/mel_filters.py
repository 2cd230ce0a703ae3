"""Triangular mel filters: from magnitudes to mel bands, and an estimate of the way back."""

import functools
import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

MelScale = Literal["slaney", "htk"]
Triangles = Literal["hz", "mel"]
_FILTERS_A_BAND = 20
_SLANEY_HZ, _SLANEY_MELS, _SLANEY_STEP = 1000.0, 15.0, math.log(6.4) / 27.0


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
    """Return triangular mel filters; magnitudes (frames, bins) @ filters are mel bands.

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

    Returns:
        Filters (bins, mels).
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
    """Split mel filters into groups of neighbours, each cut to the bins that it uses.

    A product of magnitudes with each group is faster than one with all filters, which are mostly 0.

    Args:
        filters: (bins, mels), result of `mel_filters`.

    Returns:
        The groups, from the lowest band.
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
    """Convert Hz to mel.

    Args:
        hz: frequency in Hz.
        scale: "slaney" (linear to 1 kHz, then logarithmic) or "htk".
    """
    if scale == "htk":
        return 2595.0 * math.log10(1.0 + hz / 700.0)
    if hz < _SLANEY_HZ:
        return hz * _SLANEY_MELS / _SLANEY_HZ
    return _SLANEY_MELS + math.log(hz / _SLANEY_HZ) / _SLANEY_STEP


def mel_to_hz(mel: Float[Tensor, " n"], scale: MelScale) -> Float[Tensor, " n"]:
    """Convert mel to Hz; the inverse of `hz_to_mel`.

    Args:
        mel: frequencies in mel, (n).
        scale: "slaney" (linear to 1 kHz, then logarithmic) or "htk".

    Returns:
        Frequencies in Hz, (n).
    """
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    linear = mel * _SLANEY_HZ / _SLANEY_MELS
    curved = _SLANEY_HZ * torch.exp(_SLANEY_STEP * (mel - _SLANEY_MELS).clamp(min=0))
    return torch.where(mel < _SLANEY_MELS, linear, curved)


def unmix(
    bands: Float[Tensor, "batch frames mels"], filters: Float[Tensor, "bins mels"], steps: int
) -> Float[Tensor, "batch frames bins"]:
    """Estimate linear magnitudes from mel bands, so that magnitudes @ filters ≈ bands.

    Multiplicative updates keep them non-negative, and lower the Kullback-Leibler divergence. Bins
    that no filter covers are 0.

    Args:
        bands: mel magnitudes (batch, frames, mels), not logarithmic.
        filters: mel filters (bins, mels).
        steps: number of updates; before the first, each band is spread evenly over its bins.

    Returns:
        Magnitudes (batch, frames, bins), at least 0.

    Source: Lee and Seung 2001.
    """
    tiny = 1e-20  # small enough to be silence, large enough to divide by
    spread = (filters / filters.sum(1, keepdim=True).clamp(min=tiny)).T
    magnitude = (bands / filters.sum(0).clamp(min=tiny)) @ spread
    for _ in range(steps):
        magnitude = magnitude * ((bands / (magnitude @ filters).clamp(min=tiny)) @ spread)
    return magnitude
