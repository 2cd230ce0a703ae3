"""Convolutions over unpadded rows, as matrix products with overlapping windows."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from speechseq.ops.cpp.library import call
from speechseq.ops.linear import supported
from speechseq.ops.varlen import Varlen


def convolve(
    x: Float[Tensor, "rows inputs"],
    rows: Varlen,
    weight: Float[Tensor, "outputs inputs kernel"],
    bias: Float[Tensor, " outputs"] | None,
) -> Float[Tensor, "rows outputs"]:
    """Convolve each utterance of an unpadded batch, with "same" padding.

    An even kernel extends one position further to the right. Rows are contiguous, so each window is
    contiguous in memory, and the convolution is one matrix product of all windows (not copied) with
    the weights; so are both gradients. It runs in C++ if `linear.supported`, otherwise by torch's
    conv1d on the padded batch.

    Args:
        x: (rows, inputs), valid positions of all utterances, one after another.
        rows: layout of the batch, which tells the utterance of each row.
        weight, bias: (outputs, inputs, kernel) and (outputs) or None.

    Returns:
        The output at each valid position, (rows, outputs).
    """
    if rows.whole and supported(x, weight):
        return _Convolve.apply(x.contiguous(), weight, bias, rows)
    reach = ((weight.shape[2] - 1) // 2, weight.shape[2] // 2)
    padded = F.pad(rows.pad(x).transpose(1, 2), reach)
    return rows.unpad(F.conv1d(padded, weight, bias).transpose(1, 2))


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, rows: Varlen) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.rows = rows
        return _product(x, weight, bias, rows, (weight.shape[2] - 1) // 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient, reach = gradients[0].contiguous(), weight.shape[2] // 2
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            mirrored = weight.flip(2).transpose(0, 1)
            grad_x = _product(gradient, mirrored, None, ctx.rows, reach)
        if ctx.needs_input_grad[1]:
            grad_weight = _weight_gradient(gradient, x, weight, ctx.rows)
        return grad_x, grad_weight, gradient.sum(0) if ctx.needs_input_grad[2] else None, None


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, rows: Varlen, left: int) -> Tensor:
    outputs, inputs, kernel = weight.shape
    output = x.new_empty(len(x), outputs)
    flat = weight.transpose(1, 2).contiguous()  # as a window lies in memory
    bias = None if bias is None else bias.contiguous()
    sizes = (len(rows.lengths), inputs, kernel, left, outputs)
    call("gemm", "convolve", x, flat, bias, output, rows.lengths, *sizes)
    return output


def _weight_gradient(gradient: Tensor, x: Tensor, weight: Tensor, rows: Varlen) -> Tensor:
    outputs, inputs, kernel = weight.shape
    grad_weight = x.new_empty(outputs, kernel, inputs)
    sizes = (len(rows.lengths), inputs, kernel, (kernel - 1) // 2, outputs)
    call("gemm", "convolve_weight", gradient, x, grad_weight, rows.lengths, *sizes)
    return grad_weight.transpose(1, 2)
