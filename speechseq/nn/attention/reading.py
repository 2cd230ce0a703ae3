"""Normalisation of energies to weights, with the options of Chorowski (2015) for any mechanism."""

import dataclasses
import math
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.nn.precision import at_least_float32
from speechseq.ranges import Count, CountOrNone, Range
from speechseq.shapes import Memory, MemoryMask, Weights

Several = Float[Tensor, "*rows positions"]
Masks = Bool[Tensor, "*#rows positions"]
HALF = 0.5 - 1e-5  # so that rounding decides no tie, such as the middle of a uniform alignment


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadingConfig(Config):
    """Options of the step from energies to attention weights; the defaults are a plain softmax.

    The options combine freely (Chorowski 2015).

    Attributes:
        sharpening: factor of the energies; above 1, fewer positions share the weight.
        smoothing: use sigmoids instead of the exponentials of the softmax, so that more positions
            share the weight.
        keep_top: number of positions that get weight, those of the largest energies (more if
            several are equal); None for all.
        window: maximum distance of positions that get weight from the median of the previous
            weights; None for no window.
        first: weights that the first step takes as those of the previous step: zeros, all weight
            on position 0 ("one_hot"), or uniform over the valid positions.
        through_previous: let gradients flow through the previous weights to earlier steps.

    Examples:
        >>> from speechseq.nn.attention.content import ContentConfig
        >>> attention = ContentConfig().build(query_dim=16, memory_dim=8)
        >>> attention.reading = ReadingConfig(window=20)  # trained as plain, read through a window
        >>> attention.reading.is_plain
        False
    """

    sharpening: Annotated[float, Range(0, 1e6, above=True)] = 1.0
    smoothing: bool = False
    keep_top: Count | None = None
    window: CountOrNone | None = None
    first: Literal["zeros", "one_hot", "uniform"] = "zeros"
    through_previous: bool = True

    @property
    def is_plain(self) -> bool:
        """Return True if the weights are a softmax over all positions, sharpened or not.

        Kernels support no other options.
        """
        return self.window is None and self.keep_top is None and not self.smoothing


def first_alignment(memory: Memory, memory_mask: MemoryMask, reading: ReadingConfig) -> Weights:
    """Return the weights that the first step takes as those of a previous step.

    Args:
        memory: (batch, positions, memory_dim), for dtype and device.
        memory_mask: (batch, positions), True = valid.
        reading: its `first` chooses the weights: zeros, all on position 0, or uniform.

    Returns:
        Weights (batch, positions), at least float32.
    """
    alignment = at_least_float32(memory.new_zeros(memory_mask.shape))
    if reading.first == "one_hot":
        alignment[:, :1].fill_(1.0)  # an assignment would copy the number from the host
    if reading.first == "uniform":
        alignment = (alignment + memory_mask) / memory_mask.sum(1, keepdim=True)
    return alignment


def first_distribution(memory: Memory, memory_mask: MemoryMask, reading: ReadingConfig) -> Weights:
    """Return weights before the first step that sum to 1: uniform, or all on position 0.

    Mechanisms that only move the previous weights need it, because the zeros that `first_alignment`
    may return would stay zeros.

    Args:
        memory: (batch, positions, memory_dim), for dtype and device.
        memory_mask: (batch, positions), True = valid.
        reading: if its `first` is "uniform", the weights are uniform over the valid positions.

    Returns:
        Weights (batch, positions).
    """
    if reading.first == "zeros":
        reading = dataclasses.replace(reading, first="one_hot")
    return first_alignment(memory, memory_mask, reading)


def median(alignment: Several) -> Int[Tensor, "*rows"]:
    """Find the median position of attention weights, a robust measure of where a step attends.

    It is the first position at which the cumulative sum of the weights reaches one half, and 0 if
    all weights are zeros.

    Args:
        alignment: attention weights (…, positions).

    Returns:
        Positions (…), int64.
    """
    before = (alignment.cumsum(-1) < HALF).sum(-1)
    return before % alignment.shape[-1]  # a row of zeros never reaches the half


def weigh(
    energies: Several,
    memory_mask: Masks,
    reading: ReadingConfig,
    previous: Several | None = None,
) -> Several:
    """Normalise energies to attention weights, a distribution over valid positions.

    Args:
        energies: (…, positions), raw scores of the positions.
        memory_mask: (…, positions) or of a shape that broadcasts to it, True = valid.
        reading: options of the normalisation.
        previous: (…, positions), weights of the previous step; only a window needs them.

    Returns:
        Weights (…, positions), at least float32.

    Raises:
        ConfigError: `reading` has a window and `previous` is None.
    """
    energies = at_least_float32(energies)
    mask = memory_mask
    if reading.window is not None:
        mask = _around(previous, mask, reading.window)
    if reading.keep_top is not None:
        mask = _largest(energies, mask, reading.keep_top)
    if reading.sharpening != 1.0:
        energies = reading.sharpening * energies
    limits = torch.finfo(energies.dtype)
    energies = energies.clamp(limits.min, limits.max)  # a row of -inf alone has no softmax
    if reading.smoothing:
        energies = F.logsigmoid(energies)
    return torch.softmax(torch.where(mask, energies, -math.inf), dim=-1)


def _around(previous: Several | None, memory_mask: Masks, reach: int) -> Masks:
    """Mask of the valid positions near the previous median; all valid ones if none is near."""
    if previous is None:
        raise ConfigError(
            "reading.window: this mechanism does not keep the weights of the step before",
            "keep them in its state and give them to attend(), or use no window",
        )
    position = torch.arange(previous.shape[-1], device=previous.device)
    near = (position - median(previous).unsqueeze(-1)).abs() <= reach
    inside = near & memory_mask
    return torch.where(inside.any(-1, keepdim=True), inside, memory_mask)


def _largest(energies: Several, memory_mask: Masks, count: int) -> Masks:
    """Mask of the positions whose energies are at least the count-th largest of the valid ones.

    A threshold is used because topk's choice among equal energies depends on the padding.
    """
    valid = torch.where(memory_mask, energies.detach(), -math.inf)
    least = valid.topk(min(count, valid.shape[-1]), dim=-1).values[..., -1:]
    return memory_mask & (valid >= least)
