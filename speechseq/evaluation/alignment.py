"""Alignment scores of a test set: focus, coverage and monotonicity."""

from collections.abc import Sequence

import torch
from torch import Tensor

from speechseq.nn.attention.diagnostics import coverage, focus, monotonicity


def alignment_scores(alignment: Tensor) -> dict[str, float]:
    """Focus, coverage and monotonicity of one alignment (steps, positions), by name; 1 is best.

    Each is from 0 to 1. At 1, every step attends to one position (focus), no position is skipped
    (coverage), and attention never moves back (monotonicity). See `nn.attention.diagnostics`.
    """
    steps, positions = (torch.tensor([size]) for size in alignment.shape)
    batch = alignment.unsqueeze(0)
    return {
        "focus": float(focus(batch, steps)),
        "coverage": float(coverage(batch, steps, positions)),
        "monotonicity": float(monotonicity(batch, steps)),
    }


def mean_scores(alignments: Sequence[Tensor]) -> dict[str, float]:
    """Mean of each of the `alignment_scores` over several alignments (steps, positions), by name.

    The result is {} for no alignments.
    """
    scores = [alignment_scores(alignment) for alignment in alignments]
    names = scores[0] if scores else ()
    return {name: sum(score[name] for score in scores) / len(scores) for name in names}
