"""Convolutions over the valid rows of a batch, as products with overlapping windows of them."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from speechseq.nn.dense import kernel_serves, outer_sum, product
from speechseq.nn.valid_rows import ValidRows


def convolve(
    x: Float[Tensor, "rows inputs"],
    rows: ValidRows,
    weight: Float[Tensor, "outputs inputs kernel"],
    bias: Float[Tensor, " outputs"] | None,
) -> Float[Tensor, "rows outputs"]:
    """A convolution along each utterance that reads zeros around it: "same" length.

    An even kernel reaches one further to the right. With utterances one behind the other, as many
    zero rows between them as the kernel reaches, a window is a run of numbers in memory, and the
    convolution one product of all windows, which are never copied, with the weights; so are both
    gradients. That is what a kernel of dense products does where it serves; torch elsewhere.
    """
    if not kernel_serves(x, weight):
        reach = ((weight.shape[2] - 1) // 2, weight.shape[2] // 2)
        padded = F.pad(rows.put(x).transpose(1, 2), reach)
        return rows.take(F.conv1d(padded, weight, bias).transpose(1, 2))
    return _Convolve.apply(x, weight, bias, *rows.apart(weight.shape[2] // 2))


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, places: Tensor, total: int
    ) -> Tensor:
        kernel = weight.shape[2]
        apart, gap = _apart(x, places, total), kernel // 2
        made = product(_windows(apart, kernel, gap - (kernel - 1) // 2), _flat(weight), bias)
        ctx.save_for_backward(apart, weight, places)
        return made.index_select(0, places - gap)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        apart, weight, places = ctx.saved_tensors
        kernel, gap = weight.shape[2], weight.shape[2] // 2
        gradient = _apart(gradients[0], places, len(apart))
        below = own = None
        if ctx.needs_input_grad[0]:
            mirrored = weight.flip(2).transpose(0, 1)
            below = product(_windows(gradient, kernel, 0), _flat(mirrored), None)
            below = below.index_select(0, places - gap)
        if ctx.needs_input_grad[1]:
            windows = _windows(apart, kernel, gap - (kernel - 1) // 2)
            flat = outer_sum(gradient[gap : len(gradient) - gap], windows)
            own = flat.unflatten(1, (kernel, -1)).transpose(1, 2)
        bias = gradients[0].sum(0) if ctx.needs_input_grad[2] else None
        return below, own, bias, None, None


def _apart(x: Tensor, places: Tensor, total: int) -> Tensor:
    return x.new_zeros(total, x.shape[1]).index_copy_(0, places, x)


def _windows(apart: Tensor, kernel: int, first: int) -> Tensor:
    """(total - 2 * (kernel // 2), kernel * channels), a row's window beginning one further each."""
    total, channels = apart.shape
    shape = (total - 2 * (kernel // 2), kernel * channels)
    return apart.as_strided(shape, (channels, 1), apart.storage_offset() + first * channels)


def _flat(weight: Tensor) -> Tensor:
    """(outputs, inputs, kernel) to (outputs, kernel * inputs), as a window lies in memory."""
    return weight.transpose(1, 2).reshape(len(weight), -1).contiguous()
