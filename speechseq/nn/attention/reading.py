"""How energies become weights: the options of Chorowski (2015), for any mechanism."""

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
HALF = 0.5 - 1e-5  # rounding may not decide a tie, such as the middle of an even alignment


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadingConfig(Config):
    """How a mechanism reads; the options combine freely, the defaults are the plain softmax.

    sharpening: factor on the energies; above 1 fewer positions share the weight.
    smoothing: sigmoids in the place of the softmax's exponentials; more positions share it.
    keep_top: only so many positions keep weight, those of the largest energies (and their ties).
    window: only positions at most so far from the median of the previous alignment keep weight.
    first: the previous alignment before the first step: no weight anywhere, all of it on position
    0, or the same on each of a row's own positions.
    through_previous: gradients flow through the previous alignment into the steps before.
    """

    sharpening: Annotated[float, Range(0, 1e6, above=True)] = 1.0
    smoothing: bool = False
    keep_top: Count | None = None
    window: CountOrNone | None = None
    first: Literal["zeros", "one_hot", "uniform"] = "zeros"
    through_previous: bool = True

    @property
    def is_plain(self) -> bool:
        """Whether weights are a softmax of all energies, sharpened at most: what kernels know."""
        return self.window is None and self.keep_top is None and not self.smoothing


def first_alignment(memory: Memory, memory_mask: MemoryMask, reading: ReadingConfig) -> Weights:
    """The previous alignment (batch, positions) of the first step, in float32 at least."""
    alignment = at_least_float32(memory.new_zeros(memory_mask.shape))
    if reading.first == "one_hot":
        alignment[:, :1].fill_(1.0)  # an assigned number would come from the host
    if reading.first == "uniform":
        alignment = (alignment + memory_mask) / memory_mask.sum(1, keepdim=True)
    return alignment


def median(alignment: Several) -> Int[Tensor, "*rows"]:
    """The first position up to which half of the weight lies, a row; 0 where there is none."""
    before = (alignment.cumsum(-1) < HALF).sum(-1)
    return before % alignment.shape[-1]  # before the half everywhere: there is no weight


def weigh(
    energies: Several,
    memory_mask: Masks,
    reading: ReadingConfig,
    previous: Several | None = None,
) -> Several:
    """Energies (…, positions) to weights: a distribution over the valid positions of each row.

    It is finite, sums to 1, is exactly 0 on padding, and in float32 at least, for energies of any
    size, infinite ones too; NaN alone stays NaN, so that a broken model shows. The window comes
    first, then the largest energies in it; smoothing makes sigmoid(sharpening * energies) of them.

    Args:
        previous: the weights of the step before; only a window needs them.

    Raises:
        ConfigError: there is a window and no `previous`.
    """
    energies = at_least_float32(energies)
    kept = memory_mask
    if reading.window is not None:
        kept = _around(previous, kept, reading.window)
    if reading.keep_top is not None:
        kept = _largest(energies, kept, reading.keep_top)
    if reading.sharpening != 1.0:
        energies = reading.sharpening * energies
    limits = torch.finfo(energies.dtype)
    energies = energies.clamp(limits.min, limits.max)  # a row of nothing but -inf has no softmax
    if reading.smoothing:
        energies = F.logsigmoid(energies)
    return torch.softmax(torch.where(kept, energies, -math.inf), dim=-1)


def _around(previous: Several | None, memory_mask: Masks, reach: int) -> Masks:
    """The valid positions near the previous median; all of them where none is near."""
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
    """The positions whose energies are at least the count-th largest of the valid ones.

    A threshold, because which of equal energies topk takes depends on the padding behind them.
    """
    valid = torch.where(memory_mask, energies.detach(), -math.inf)
    least = valid.topk(min(count, valid.shape[-1]), dim=-1).values[..., -1:]
    return memory_mask & (valid >= least)
