"""Batch norm with activation and dropout over unpadded rows, fused on a CPU."""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from speechseq.eager import has_memory
from speechseq.ops.cpp.library import call, library
from speechseq.ops.dropout import bernoulli
from speechseq.ops.varlen import Rows

Activation = Literal["linear", "relu", "tanh"]
KERNELS = "pointwise"
_NUMBERS = {"linear": 0, "relu": 1, "tanh": 2}


def supported(*tensors: Tensor) -> bool:
    """Return True if the C++ kernels take these tensors: float32 on a CPU, the first not empty.

    Args:
        tensors: the tensors of a call.
    """
    return (
        has_memory(*tensors)
        and all(x.dtype == torch.float32 and x.device.type == "cpu" for x in tensors)
        and tensors[0].numel() > 0
        and library(KERNELS) is not None
    )


def batch_norm_act_dropout(
    x: Rows,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    activation: Activation,
    norm_last: bool,
    rate: float,
) -> tuple[Rows, Tensor, Tensor]:
    """Apply batch norm in training mode, an activation and dropout, in two passes over memory.

    Check `supported` first. The backward pass needs x and one byte per unit; torch's operations
    also save the outputs of norm and activation.

    Args:
        x: (rows, channels), the valid positions of a batch without padding.
        weight, bias: (channels), of the norm.
        eps: added to the variance.
        activation: "linear", "relu" or "tanh".
        norm_last: apply the activation before the norm instead of after it.
        rate: probability of dropping an output.

    Returns:
        The output (rows, channels), and the mean and biased variance of x in each channel
        (channels), without gradients.
    """
    keep = bernoulli(tuple(x.shape), 1 - rate, x.device) if rate else None
    options = (_NUMBERS[activation], int(norm_last), 1 / (1 - rate) if rate < 1 else 0.0)
    return _Norm.apply(x.contiguous(), weight, bias, keep, eps, options)


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        keep: Tensor | None,
        eps: float,
        options: tuple[int, int, float],
    ) -> tuple[Tensor, Tensor, Tensor]:
        output = torch.empty_like(x)
        mean, variance, inverse = (torch.empty_like(weight) for _ in range(3))
        tensors = (x, weight, bias, keep, mean, variance, inverse, output)
        call(KERNELS, "norm_forward", *tensors, *x.shape, *options, eps)
        ctx.save_for_backward(x, weight, bias, keep, mean, inverse)
        ctx.how = options
        ctx.mark_non_differentiable(mean, variance)
        return output, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, keep, mean, inverse = ctx.saved_tensors
        grads = tuple(torch.empty_like(each) for each in (x, weight, bias))
        tensors = (gradients[0].contiguous(), x, weight, bias, keep, mean, inverse)
        call(KERNELS, "norm_backward", *tensors, *grads, *x.shape, *ctx.how)
        return *grads, None, None, None
