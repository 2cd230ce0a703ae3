"""Consistency of the alignments of two decoders (double decoder consistency, Gölge 2020).

A second decoder with a larger reduction factor aligns sooner; the difference of both alignments, as
a term of the loss, pulls the first one along.
"""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from speechseq.arguments import checked_lengths
from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.models.gradual import ReductionFactor
from speechseq.nn.masks import length_mask
from speechseq.nn.precision import at_least_float32
from speechseq.ranges import Every, checked
from speechseq.shapes import Alignment, Lengths, Scalar


@dataclasses.dataclass(frozen=True, kw_only=True)
class CoarseDecoderConfig(Config):
    """Settings of the second, coarse decoder in double decoder consistency (Gölge 2020).

    It has fewer and longer steps; all its other settings are those of the first decoder.

    Attributes:
        reduction_factor: frames per step, a multiple of the first decoder's.
    """

    reduction_factor: ReductionFactor = 6

    def check_multiple(self, of: int) -> None:
        """Raise ConfigError unless the reduction factor is a multiple of `of` frames."""
        if self.reduction_factor % of:
            problem = f"coarse.reduction_factor: {self.reduction_factor} is no multiple of {of}"
            raise ConfigError(problem, f"choose a multiple of the reduction factors: {2 * of}")


def alignment_consistency(
    fine: Alignment,
    coarse: Float[Tensor, "batch coarse_steps positions"],
    step_lengths: Lengths,
    coarse_lengths: Lengths,
    memory_lengths: Lengths,
    *,
    ratio: int | None = None,
) -> Scalar:
    """Compute the mean absolute difference of two decoders' alignments of the same utterances.

    Args:
        fine: (batch, steps, positions), of the decoder with the smaller reduction factor.
        coarse: (batch, coarse_steps, positions), of the decoder with the larger one.
        step_lengths, coarse_lengths: valid steps (batch) of each, at least 1.
        memory_lengths: valid positions (batch), at least 1.
        ratio: fine steps that a coarse step covers, the quotient of the reduction factors; None
            takes each item's quotient of lengths, rounded up, which is exact where the frames of an
            item fill its last coarse step.

    Returns:
        A scalar, 0 for equal alignments; differentiable in both.

    Raises:
        ConfigError: lengths of another shape or type, or a ratio below 1.
        DataError: a length below 1 or beyond its alignment.
    """
    batch, steps, positions = fine.shape
    step_lengths = checked_lengths(step_lengths, (batch, steps), "step_lengths", least=1)
    shape = batch, coarse.shape[1]
    coarse_lengths = checked_lengths(coarse_lengths, shape, "coarse_lengths", least=1)
    shape = batch, positions
    memory_lengths = checked_lengths(memory_lengths, shape, "memory_lengths", least=1)
    if ratio is None:
        covered = -(-step_lengths // coarse_lengths)
    else:
        covered = torch.full_like(step_lengths, checked("ratio", ratio, Every))
    time = torch.arange(steps, device=fine.device)
    source = torch.minimum(time // covered.unsqueeze(1), coarse_lengths.unsqueeze(1) - 1)
    repeated = coarse.gather(1, source.unsqueeze(2).expand(-1, -1, positions))
    valid = length_mask(step_lengths, steps).unsqueeze(2) & length_mask(
        memory_lengths, positions
    ).unsqueeze(1)
    mine, other = (torch.where(valid, at_least_float32(x), 0.0) for x in (fine, repeated))
    return (mine - other).abs().sum() / valid.sum()
