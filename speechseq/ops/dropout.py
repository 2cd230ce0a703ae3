"""Dropout whose chance is drawn sixteen bits a unit, and kept as one byte a unit."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from speechseq.eager import has_memory, is_eager

LEVELS = 2**16


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """F.dropout; on a CPU under half of its time, and a quarter of what it keeps for the gradient.

    torch draws and keeps a float a unit there. The rate is rounded to a multiple of 2^-16.
    """
    if not training or not rate:
        return x
    if not has_memory(x) or x.device.type != "cpu" or not 0 < rate < 1:
        return F.dropout(x, rate)
    return _Dropout.apply(x, rate)


def happens(shape: tuple[int, ...], rate: float, device: torch.device | str) -> Tensor:
    """A mask that is True with this probability, rounded to a multiple of 2^-16."""
    if not is_eager():
        return torch.rand(shape, device=device) < rate
    mask = torch.empty(shape, dtype=torch.bool, device=device)
    if mask.device.type != "cpu" or not 0 < rate < 1:
        return mask.bernoulli_(rate)
    four = torch.empty(-(-mask.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    drawn = four.view(torch.int16)[: mask.numel()].view(shape)
    return drawn < min(round(rate * LEVELS), LEVELS - 1) - LEVELS // 2


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        kept = happens(tuple(x.shape), 1 - rate, x.device)
        ctx.multiplier = 1 / (1 - rate)
        ctx.save_for_backward(kept)
        return _masked(x, kept, ctx.multiplier)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _masked(gradients[0], ctx.saved_tensors[0], ctx.multiplier), None


def _masked(x: Tensor, kept: Tensor, multiplier: float) -> Tensor:
    return torch.ops.aten.native_dropout_backward(x, kept, multiplier)  # a third of where's time
