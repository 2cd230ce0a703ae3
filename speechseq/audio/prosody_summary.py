"""Prosody of whole utterances, one number each: median F0, its spread, energy and rate."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from speechseq.audio.prosody import QUIETEST, SILENT, Prosody
from speechseq.errors import DataError

_ACTIVE = 40.0  # dB below the loudest frame of an item
_MIDDLE = 100.0  # Hz, 0 semitones


class Summary(NamedTuple):
    """Prosody of whole utterances, one number per measure and item; result of `summary`.

    Attributes:
        f0: (batch), median F0 in semitones above 100 Hz; NaN without a voiced frame.
        spread: (batch), standard deviation of F0 in semitones; NaN without a voiced frame.
        energy: (batch), mean energy of the active frames in dB; -100 in digital silence.
        rate: (batch), speaking rate as log2 of units per second, where `summary` says what a unit
            is; NaN in silence.
    """

    f0: Float[Tensor, " batch"]
    spread: Float[Tensor, " batch"]
    energy: Float[Tensor, " batch"]
    rate: Float[Tensor, " batch"]


def summary(
    measured: Prosody, units: Integer[Tensor, " batch"] | Float[Tensor, " batch"] | None = None
) -> Summary:
    """Summarise the prosody of each item of a batch in four numbers.

    Frames within 40 dB of the item's loudest frame are active; speech lasts from the first active
    frame to the last.

    Args:
        measured: F0, voicing and energy of each frame, the result of `prosody`.
        units: number of units spoken in each item (batch), such as words, letters or phonemes; None
            counts each item as one unit, so that the rate is -log2 of its duration in seconds.

    Raises:
        DataError: a number of units is not above 0.
    """
    if units is not None and not (units > 0).all():
        raise DataError("units: an item says nothing", "count at least one word or letter an item")
    semitones = 12 * (measured.f0 / _MIDDLE).log2()
    mean = semitones.nanmean(1, keepdim=True)
    level = measured.energy.nan_to_num(nan=QUIETEST)
    active = (level > level.amax(1, keepdim=True) - _ACTIVE) & (level > SILENT)
    power = (10 ** (level / 10)).where(active, 0).sum(1) / active.sum(1).clamp(min=1)
    place = torch.arange(1, level.shape[1] + 1, device=level.device)
    last = place.where(active, 0).amax(1)
    first = place.where(active, level.shape[1]).amin(1)
    seconds = (last - first + 1).to(level.dtype) * measured.frame_seconds
    rate = ((1 if units is None else units) / seconds).log2()
    return Summary(
        semitones.nanmedian(1).values,
        (semitones - mean).square().nanmean(1).sqrt(),
        10 * power.clamp(min=10 ** (QUIETEST / 10)).log10(),
        rate.where(active.any(1), math.nan),
    )
