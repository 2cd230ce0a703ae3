"""Pointwise operations of a CBHG, fused to one pass over memory on a CPU."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from speechseq.ops.batch_norm import KERNELS, supported
from speechseq.ops.cpp.library import call
from speechseq.ops.varlen import Rows


def max_pool_pairs(x: Rows, has_next: Bool[Tensor, " rows"]) -> Rows:
    """Take the maximum of each position and the next of its utterance (max pooling of width 2).

    Two equal values get half of the gradient each.

    Args:
        x: (rows, channels), valid positions of all utterances, one after another.
        has_next: (rows) bool, True if the next row belongs to the same utterance; the other rows
            are returned unchanged.

    Returns:
        The maxima, (rows, channels).
    """
    if supported(x):
        return _Pool.apply(x.contiguous(), has_next)
    following = torch.cat([x[1:], x[-1:]])
    return torch.where(has_next.unsqueeze(1), torch.maximum(x, following), x)


def highway(
    x: Float[Tensor, "*rest dim"],
    fresh: Float[Tensor, "*rest dim"],
    gate: Float[Tensor, "*rest dim"],
) -> Float[Tensor, "*rest dim"]:
    """Compute the output of a highway layer, g * relu(fresh) + (1 - g) * x with g = sigmoid(gate).

    Source: Srivastava et al. 2015.

    Args:
        x: (…, dim), input of the layer.
        fresh: (…, dim), a linear map of x, before its ReLU.
        gate: (…, dim), another linear map of x, before its sigmoid.

    Returns:
        The output, (…, dim).
    """
    if supported(x, fresh, gate):
        return _Highway.apply(x.contiguous(), fresh.contiguous(), gate.contiguous())
    return torch.lerp(x, torch.relu(fresh), torch.sigmoid(gate))


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, has_next: Tensor) -> Tensor:
        output = torch.empty_like(x)
        call(KERNELS, "pool_forward", x, has_next, output, *x.shape)
        ctx.save_for_backward(x, has_next)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        x, has_next = ctx.saved_tensors
        grad_x = torch.empty_like(x)
        call(KERNELS, "pool_backward", gradients[0].contiguous(), x, has_next, grad_x, *x.shape)
        return grad_x, None


class _Highway(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, fresh: Tensor, gate: Tensor) -> Tensor:
        output = torch.empty_like(x)
        flat = (part.view(-1) for part in (x, fresh, gate, output))
        call(KERNELS, "highway_forward", *flat, x.numel())
        ctx.save_for_backward(x, fresh, gate)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        inputs = ctx.saved_tensors
        grads = tuple(torch.empty_like(x) for x in inputs)
        grad_y = gradients[0].contiguous()
        flat = (part.view(-1) for part in (grad_y, *inputs, *grads))
        call(KERNELS, "highway_backward", *flat, grad_y.numel())
        return grads
