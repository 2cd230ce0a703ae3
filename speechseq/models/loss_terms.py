"""Parts that the losses of all models share: named terms, guided attention, fading."""

import dataclasses

import torch
from torch import Tensor

from speechseq.arguments import checked_lengths
from speechseq.nn.masks import length_mask
from speechseq.nn.precision import at_least_float32
from speechseq.shapes import Alignment, Lengths, Scalar


@dataclasses.dataclass(frozen=True)
class Losses:
    """Terms of a loss and their total, the result of every loss of this package.

    Attributes:
        total: scalar, the sum of the terms, to call `backward` on.
        terms: scalars by name, already weighted.
    """

    total: Tensor
    terms: dict[str, Tensor]


def guided_attention_loss(
    alignment: Alignment, step_lengths: Lengths, memory_lengths: Lengths, sigma: float
) -> Scalar:
    """Guided attention loss (Tachibana 2018, eq. 3): mean of weights times a diagonal penalty.

    The penalty of step t and position n is 1 - exp(-(n/N - t/T)² / 2σ²), with each row's own
    numbers of positions N and steps T. The mean is over valid steps and positions.

    Args:
        alignment: (batch, steps, positions).
        step_lengths, memory_lengths: (batch), T and N of each row.
        sigma: width σ of the diagonal, as a share of the length.
    """
    batch, rows, columns = alignment.shape
    step_lengths = checked_lengths(step_lengths, (batch, rows), "step_lengths")
    memory_lengths = checked_lengths(memory_lengths, (batch, columns), "memory_lengths")
    steps = torch.arange(alignment.shape[1], device=alignment.device)
    positions = torch.arange(alignment.shape[2], device=alignment.device)
    t = steps.unsqueeze(0) / step_lengths.unsqueeze(1)
    n = positions.unsqueeze(0) / memory_lengths.unsqueeze(1)
    penalty = 1.0 - torch.exp(-((n.unsqueeze(1) - t.unsqueeze(2)) ** 2) / (2 * sigma**2))
    valid = length_mask(step_lengths, len(steps)).unsqueeze(2) & length_mask(
        memory_lengths, len(positions)
    ).unsqueeze(1)
    return (torch.where(valid, at_least_float32(alignment), 0.0) * penalty).sum() / valid.sum()


def fade(update: int, half_life: float) -> float:
    """Return 0.5 ** (update / half_life), by which a weight fades; 1 if half_life is 0."""
    return 0.5 ** (update / half_life) if half_life else 1.0
