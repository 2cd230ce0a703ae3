"""What an alignment picture shows, as three figures between 0 and 1; 1 is a perfect reading.

One figure alone can be cheated, the three together cannot: an attention that rests on one symbol is
focused and monotonic but covers nothing, and one that looks everywhere covers all without focus.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from speechseq.shapes import Alignment, Lengths

Score = Float[Tensor, " batch"]


def focus(alignment: Alignment, step_lengths: Lengths) -> Score:
    """Mean over an item's steps of the largest weight: 1 when each step reads one symbol."""
    valid = _below(step_lengths, alignment.shape[1])
    peaks = torch.where(valid, alignment.amax(2), 0.0)
    return peaks.sum(1) / step_lengths


def coverage(
    alignment: Alignment,
    step_lengths: Lengths,
    position_lengths: Lengths,
    threshold: float = 0.25,
) -> Score:
    """Share of an item's positions that were read; a skipped word lowers it.

    A position counts as read when the weights that it got over all steps sum to at least
    `threshold` of an even share, which is one step, or steps / positions where steps are fewer.
    """
    steps = _below(step_lengths, alignment.shape[1])
    positions = _below(position_lengths, alignment.shape[2])
    gathered = torch.where(steps[:, :, None], alignment, 0.0).sum(1)
    even = (step_lengths / position_lengths).clamp(max=1.0)
    read = (gathered >= threshold * even[:, None]) & positions
    return read.sum(1) / position_lengths


def monotonicity(alignment: Alignment, step_lengths: Lengths) -> Score:
    """Share of an item's step-to-step moves whose most weighted position does not go back.

    An item of one step makes no move and scores 1.
    """
    valid = _below(step_lengths - 1, alignment.shape[1] - 1)
    moves = alignment.argmax(2).diff(dim=1)
    forward = (moves >= 0) & valid
    made = step_lengths - 1
    return torch.where(made > 0, forward.sum(1) / made.clamp(min=1), 1.0)


def _below(lengths: Lengths, size: int) -> Bool[Tensor, "batch time"]:
    return torch.arange(size, device=lengths.device) < lengths[:, None]
