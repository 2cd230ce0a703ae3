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
    """Guided attention loss (Tachibana 2018, eq. 3): a penalty on weights far from the diagonal.

    It is the mean, over valid steps and positions, of each weight times 1 - exp(-(n/N - t/T)² /
    2σ²) at step t and position n, with each row's own numbers of positions N and steps T.

    Args:
        alignment: (batch, steps, positions), attention weights.
        step_lengths, memory_lengths: (batch), T and N of each row.
        sigma: width σ of the diagonal, as a fraction of the length.

    Returns:
        A scalar, 0 for a perfect diagonal.
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
    """Return the factor 0.5 ** (update / half_life), by which the weight of a loss term fades.

    Args:
        update: number of the optimizer update.
        half_life: updates after which the factor is 1/2; 0 for the constant factor 1.
    """
    return 0.5 ** (update / half_life) if half_life else 1.0
