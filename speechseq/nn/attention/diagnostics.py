"""Metrics of an alignment's quality: focus, coverage and monotonicity, each from 0 to 1 (best).

Each metric alone can be perfect for a useless alignment, but not all three: attention that stays on
one symbol is focused and monotonic but covers nothing, and uniform attention covers everything
without focus. Beside them are the entropy, in nats, and the accuracy, for which the truth is known.
"""

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from speechseq.arguments import checked_lengths
from speechseq.nn.masks import length_mask, zero_padding
from speechseq.shapes import Alignment, Lengths

Score = Float[Tensor, " batch"]


def focus(alignment: Alignment, step_lengths: Lengths) -> Score:
    """Compute how concentrated attention is: the largest weight of a step, averaged over steps.

    The score is 1 if every step attends to a single position.

    Args:
        alignment: (batch, steps, positions), attention weights of all steps.
        step_lengths: (batch), number of valid steps of each item.

    Returns:
        Scores (batch), from 0 to 1.
    """
    step_lengths = checked_lengths(step_lengths, alignment.shape, "step_lengths")
    valid = length_mask(step_lengths, alignment.shape[1])
    return zero_padding(alignment, valid).amax(2).sum(1) / step_lengths


def entropy(alignment: Alignment, step_lengths: Lengths) -> Score:
    """Compute the entropy of a step's attention weights, averaged over each item's steps.

    It is 0 if every step attends to a single position, and log(n) if all attend to n positions
    equally; its exponential is the number of positions that a step attends to, in effect.

    Args:
        alignment: (batch, steps, positions), attention weights of all steps.
        step_lengths: (batch), number of valid steps of each item.

    Returns:
        Entropies in nats, (batch).
    """
    step_lengths = checked_lengths(step_lengths, alignment.shape, "step_lengths")
    valid = length_mask(step_lengths, alignment.shape[1])
    return torch.special.entr(zero_padding(alignment, valid)).sum((1, 2)) / step_lengths


def coverage(
    alignment: Alignment,
    step_lengths: Lengths,
    position_lengths: Lengths,
    threshold: float = 0.25,
) -> Score:
    """Compute the fraction of each item's positions that attention reads; 1 if it skips none.

    A position counts as read if its weights, summed over all steps, reach `threshold` times min(1,
    steps / positions), which is about the sum that each position has on average.

    Args:
        alignment: (batch, steps, positions), attention weights of all steps.
        step_lengths, position_lengths: (batch), number of valid steps and positions of each item.
        threshold: fraction of the average weight at which a position counts as read.

    Returns:
        Scores (batch), from 0 to 1.
    """
    read = read_positions(alignment, step_lengths, position_lengths, threshold)
    return read.sum(1) / position_lengths


def read_positions(
    alignment: Alignment,
    step_lengths: Lengths,
    position_lengths: Lengths,
    threshold: float = 0.25,
) -> Bool[Tensor, "batch positions"]:
    """Find the positions that attention reads.

    A position counts as read if its weights, summed over all steps, reach `threshold` times min(1,
    steps / positions), which is about the sum that each position has on average.

    Args:
        alignment: (batch, steps, positions), attention weights of all steps.
        step_lengths, position_lengths: (batch), number of valid steps and positions of each item.
        threshold: fraction of the average weight at which a position counts as read.

    Returns:
        Mask (batch, positions), True for positions that are read, False in the padding.
    """
    step_lengths = checked_lengths(step_lengths, alignment.shape, "step_lengths")
    valid = length_mask(step_lengths, alignment.shape[1])
    shape = len(alignment), alignment.shape[2]
    position_lengths = checked_lengths(position_lengths, shape, "position_lengths")
    gathered = zero_padding(alignment, valid).sum(1)
    even = (step_lengths / position_lengths).clamp(max=1.0)
    read = gathered >= threshold * even[:, None]
    return read & length_mask(position_lengths, alignment.shape[2])


def monotonicity(alignment: Alignment, step_lengths: Lengths) -> Score:
    """Compute the fraction of each item's steps at which attention does not move back.

    Attention moves back if the position of the largest weight is before that of the previous step.
    The first step, which has no previous step, is not counted; an item of one step scores 1.

    Args:
        alignment: (batch, steps, positions), attention weights of all steps.
        step_lengths: (batch), number of valid steps of each item.

    Returns:
        Scores (batch), from 0 to 1.
    """
    step_lengths = checked_lengths(step_lengths, alignment.shape, "step_lengths")
    moves = (step_lengths - 1).clamp(min=0)
    valid = length_mask(moves, alignment.shape[1] - 1)
    onward = (alignment.argmax(2).diff(dim=1) >= 0) & valid
    return torch.where(moves > 0, onward.sum(1) / moves.clamp(min=1), 1.0)


def accuracy(
    alignment: Alignment,
    positions: Integer[Tensor, "batch frames"],
    frame_lengths: Lengths,
    reduction_factor: int = 1,
    tolerance: int = 1,
) -> Score:
    """Compute the fraction of each item's frames at which attention is at the true position.

    Args:
        alignment: (batch, steps, positions), attention weights of the decoder steps.
        positions: (batch, frames), index of the true position of each frame.
        frame_lengths: (batch), number of valid frames of each item, at least 1.
        reduction_factor: number of frames per decoder step.
        tolerance: maximum distance, in positions, between the largest weight and the true position.

    Returns:
        Scores (batch), from 0 to 1.
    """
    frame_lengths = checked_lengths(frame_lengths, positions.shape, "frame_lengths", least=1)
    frame = torch.arange(positions.shape[1], device=alignment.device)
    attended = alignment.argmax(2)[:, frame // reduction_factor]
    near = (attended - positions).abs() <= tolerance
    return (near & length_mask(frame_lengths, positions.shape[1])).sum(1) / frame_lengths
