"""Distances of prosody: between two sets of utterances, and between two aligned utterances."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from speechseq.arguments import checked_lengths
from speechseq.audio.prosody_summary import Summary
from speechseq.errors import DataError
from speechseq.nn.transport import transport
from speechseq.shapes import Lengths

MEASURES = Summary._fields
GROSS = 0.2  # a larger relative error of F0 is a gross one
_FEWEST = 4  # rows of real data: two halves of two
_SPLIT = 0  # seed of the halves

Rows = Float[Tensor, "_ _"]  # (utterances, measures)


class Distance(NamedTuple):
    """Wasserstein distance W2 between the prosodies of two sets; result of `prosody_distance`.

    W2 is in standard deviations of the real data.

    Attributes:
        value: W2 between our utterances and the real ones.
        null: W2 between two random halves of the real utterances, for comparison: the distance of
            two samples, of half the size, from the same distribution.
        gap: bound of the numerical error: no transport plan has a cost below value² - gap.
    """

    value: float
    null: float
    gap: float


def rows(measured: Summary) -> Rows:
    """Stack the four measures of the prosody of utterances to an array (utterances, 4).

    The columns are F0 and its standard deviation in semitones, energy in dB, and rate in octaves;
    see `audio.prosody_summary.Summary`.
    """
    return torch.stack(tuple(measured), 1)


def prosody_distance(ours: Rows, real: Rows) -> Distance:
    """Compute how far the prosodies of our utterances are from real ones, as distributions.

    It is the Wasserstein distance W2: the root of the least mean squared distance over all
    couplings of the two sets, which are first standardised by mean and standard deviation of the
    real one.

    Args:
        ours: (utterances, 4), result of `rows`: F0 and F0 spread in semitones, energy in dB, rate
            in octaves.
        real: (utterances, 4), the same for real utterances.

    Raises:
        DataError: a number is undefined or infinite, such as F0 without a voiced frame; the rows
            do not have 4 columns; there are fewer than 4 real rows; or a real column does not vary.
        MachineError: the extra `style` is not installed.

    Source: Peyré and Cuturi 2019, "Computational optimal transport".
    """
    ours, real = _checked("ours", ours, 1), _checked("real", real, _FEWEST)
    deviation = real.std(0, correction=0)
    for name, value in zip(MEASURES, deviation.tolist(), strict=True):
        if value == 0:
            raise DataError(f"real: {name} is the same in all rows", "take more varied utterances")
    ours, real = ((x - real.mean(0)) / deviation for x in (ours, real))
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(_SPLIT))
    first, second = real[order].tensor_split(2)
    value, gap = _wasserstein(ours, real)
    return Distance(value, _wasserstein(first, second)[0], gap)


def f0_frame_error(
    ours: Float[Tensor, "batch frames"],
    real: Float[Tensor, "batch frames"],
    frame_lengths: Lengths | None = None,
) -> Float[Tensor, " batch"]:
    """F0 frame error (FFE) of aligned utterances: the share of frames with a wrong F0, 0 to 1.

    A frame is wrong if only one of the two is voiced, or if both are voiced and F0 differs by more
    than 20 % of the real F0.

    Args:
        ours: F0 (batch, frames) in Hz, NaN in unvoiced frames.
        real: true F0 (batch, frames) in Hz, NaN in unvoiced frames.
        frame_lengths: (batch), number of valid frames of each item; None if all are valid.

    Returns:
        The error of each item (batch).

    Raises:
        DataError: an item has no frame.

    Source: Chu and Alwan 2009, "Reducing F0 frame error of F0 tracking algorithms under noisy
    conditions with an unvoiced/voiced classification frontend".
    """
    if frame_lengths is None:
        frame_lengths = torch.full((len(real),), real.shape[1])
    frame_lengths = checked_lengths(frame_lengths, real.shape, "frame_lengths", least=1, wait=True)
    voicing = ours.isnan() != real.isnan()
    pitch = (ours - real).abs() > GROSS * real  # False for NaN
    frame = torch.arange(real.shape[1], device=real.device)
    frame_lengths = frame_lengths.to(real.device)
    valid = frame < frame_lengths[:, None]
    return ((voicing | pitch) & valid).sum(1) / frame_lengths


def _checked(name: str, x: Rows, fewest: int) -> Rows:
    """Rows in double precision on the CPU."""
    x = x.detach().double().cpu()
    if x.shape[1] != len(MEASURES):
        raise DataError(f"{name}: {x.shape[1]} columns, not {', '.join(MEASURES)}")
    if len(x) < fewest:
        raise DataError(f"{name}: {len(x)} utterances are too few", f"take at least {fewest}")
    undefined = x.isfinite().logical_not()
    if undefined.any():
        row, column = undefined.nonzero()[0].tolist()
        raise DataError(
            f"{name}: {MEASURES[column]} of utterance {row} is undefined, as of "
            f"{int(undefined.any(1).sum())} utterances of {len(x)}",
            "leave out utterances without a voiced frame, and say how many they are",
        )
    return x


def _wasserstein(first: Rows, second: Rows) -> tuple[float, float]:
    """W2 of two sets of equally weighted rows, and the gap of its square."""
    cost = torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist").square()
    masses = (torch.full((len(x),), 1 / len(x), dtype=x.dtype) for x in (first, second))
    found = transport(cost, *masses)
    return max(found.value, 0.0) ** 0.5, found.gap
