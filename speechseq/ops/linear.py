"""Linear layers over many rows, faster than torch on CPUs where MKL does not use AVX-512."""

import functools
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from speechseq.eager import has_memory
from speechseq.ops.cpp.library import call, library
from speechseq.ops.plain import is_plain

_FEW = 64  # number of rows below which packing the weights does not pay


def linear(x: Float[Tensor, "*rest inputs"], weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Apply a linear layer, like torch's `linear`, faster than torch on some CPUs.

    On processors with AVX-512 that are not Intel's, torch's library (MKL) runs its AVX2 code in
    float32, at half the speed. There a C++ kernel computes the three products of a training step;
    second derivatives are not supported.

    Args:
        x: (…, inputs).
        weight: (outputs, inputs).
        bias: (outputs), or None.

    Returns:
        The output x · weight^T + bias, (…, outputs).
    """
    if not supported(x, weight) or x.shape[:-1].numel() < _FEW:
        return F.linear(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    output = _Linear.apply(rows, weight.contiguous(), bias)
    return output.unflatten(0, x.shape[:-1])


def project(layer: nn.Module, x: Float[Tensor, "*rest inputs"]) -> Float[Tensor, "*rest outputs"]:
    """Return `layer(x)` for x (…, inputs), computed by the faster function `linear` if possible.

    Args:
        layer: an nn.Linear (inputs to outputs), or any module; a module of another class, or with
            hooks, is always called.
        x: (…, inputs); few rows are also left to the layer.

    Returns:
        The output, (…, outputs).
    """
    many = x.shape[:-1].numel() >= _FEW
    if many and isinstance(layer, nn.Linear) and is_plain(layer, nn.Linear):
        return linear(x, layer.weight, layer.bias)
    return layer(x)


def supported(a: Tensor, b: Tensor) -> bool:
    """Return True if the C++ kernel takes two matrices and is faster than torch on this machine.

    It takes float32 tensors on a CPU that are not empty, outside autocast; it is faster where MKL
    does not use AVX-512.

    Args:
        a: (rows, columns), the first factor of a product.
        b: (rows, columns), the second factor.
    """
    plain = a.dtype == b.dtype == torch.float32 and a.device.type == b.device.type == "cpu"
    if not has_memory(a, b) or not plain or torch.is_autocast_enabled("cpu"):
        return False
    return _faster_than_torch() and a.numel() > 0 and b.numel() > 0


def weight_grad(gradient: Tensor, x: Tensor) -> Tensor:
    """Return the weight gradient of a linear layer, gradient^T · x.

    Args:
        gradient: (rows, outputs), gradient of the layer's output; may be a column slice.
        x: (rows, inputs), the layer's input; may be a column slice of a wider matrix.

    Returns:
        The gradient of the weight, (outputs, inputs).
    """
    if not supported(gradient, x) or gradient.stride(1) != 1 or x.stride(1) != 1:
        return gradient.t() @ x
    outputs, inputs = gradient.shape[1], x.shape[1]
    product = gradient.new_empty(outputs, inputs)
    sizes = (len(x), gradient.stride(0), x.stride(0), outputs, inputs)
    call("gemm", "gemm_weight", gradient, x, product, *sizes)
    return product


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        outputs, inputs = weight.shape
        output = x.new_empty(len(x), outputs)
        bias = None if bias is None else bias.contiguous()
        call("gemm", "gemm_forward", x, weight, bias, output, len(x), inputs, outputs)
        return output

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.empty_like(x)
            sizes = (len(x), x.shape[1], gradient.shape[1])
            call("gemm", "gemm_backward", gradient, weight, grad_x, *sizes)
        grad_weight = weight_grad(gradient, x) if ctx.needs_input_grad[1] else None
        return grad_x, grad_weight, gradient.sum(0) if ctx.needs_input_grad[2] else None


@functools.cache
def _faster_than_torch() -> bool:
    if library("gemm") is None:
        return False
    answer = torch.zeros(1, dtype=torch.int64)
    call("gemm", "gemm_is_faster", answer)
    return bool(answer)
