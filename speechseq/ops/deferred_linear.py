"""Linear layers for the steps of a loop, with one weight gradient per loop or prepacked weights."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from speechseq.eager import has_memory
from speechseq.ops.cpp.library import call, library

KERNELS = "speller"


class _GradBuffer:
    """Weight (detached if it needs a gradient), with inputs and output gradients of all steps."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self.inputs: list[Tensor] = []
        self.gradients: list[Tensor] = []
        self.task = -1

    def leave(self, x: Tensor, gradient: Tensor) -> None:
        """Store one step; drop steps of an earlier backward pass that did not reach the weight."""
        # the id of the running backward pass, which torch's own checkpointing uses too
        task = torch._C._current_graph_task_id()
        if task != self.task:
            self.inputs, self.gradients, self.task = [], [], task
        self.inputs.append(x.detach())  # otherwise buffer and graph would hold each other
        self.gradients.append(gradient)

    def collect(self) -> Tensor | None:
        """Return the weight gradient and empty the buffer; None if no step was reached."""
        if not self.gradients:
            return None
        product = torch.cat(self.gradients).t() @ torch.cat(self.inputs)
        self.inputs, self.gradients = [], []
        return product


class DeferredGradLinear:
    """Linear layer y = W x + b for the steps of one loop; build a new one for each batch.

    Calling it maps x (batch, input_dim) to (batch, output_dim). Plain autograd adds a gradient of
    the size of W at every step; for Tacotron 2 this moves 25 MB several hundred times per update.
    This layer keeps only input and output gradient of
    each step, and computes the gradient of W by one product over all steps. A graph may be run
    backward several times (`retain_graph=True`); second derivatives raise an error.

    Args:
        weight: (output_dim, input_dim).
        bias: (output_dim) or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        device = weight.device.type
        mixed = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if mixed else weight.dtype
        tracked = torch.is_grad_enabled() and weight.requires_grad and has_memory(weight)
        self.buffer = _GradBuffer((weight.detach() if tracked else weight).to(dtype))
        self.bias = None if bias is None else bias.to(dtype)
        self.token = _Gather.apply(weight, self.buffer) if tracked else None

    def __call__(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """Apply the layer to x (batch, input_dim); the result is (batch, output_dim).

        `onto` (batch, output_dim) is added to it.
        """
        weight = self.buffer.weight
        base = self.bias if onto is None else onto if self.bias is None else onto + self.bias
        x, base = x.to(weight.dtype), None if base is None else base.to(weight.dtype)
        if self.token is None:
            return _product(x, weight, base)
        return _Step.apply(x, base, self.token, self.buffer)


def _product(x: Tensor, weight: Tensor, base: Tensor | None) -> Tensor:
    return F.linear(x, weight) if base is None else torch.addmm(base, x, weight.t())


class _Gather(torch.autograd.Function):
    """Node that all steps depend on, so that its backward runs after theirs."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, buffer: _GradBuffer) -> Tensor:
        ctx.buffer, ctx.dtype = buffer, weight.dtype
        return weight.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, None]:
        product = ctx.buffer.collect()
        return None if product is None else product.to(ctx.dtype), None


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, base: Tensor | None, token: Tensor, buffer: _GradBuffer
    ) -> Tensor:
        ctx.buffer, ctx.is_bias = buffer, base is not None and base.dim() == 1
        ctx.save_for_backward(x, token, buffer.weight)
        return _product(x, buffer.weight, base)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor, None]:
        x, token, weight = ctx.saved_tensors
        (gradient,) = gradients
        ctx.buffer.leave(x, gradient)
        grad_x = gradient @ weight if ctx.needs_input_grad[0] else None
        grad_base = gradient if ctx.needs_input_grad[1] else None
        if grad_base is not None and ctx.is_bias:
            grad_base = grad_base.sum(0)
        return grad_x, grad_base, torch.zeros_like(token), None


class PrepackedLinear(DeferredGradLinear):
    """Linear layer y = W x + b with prepacked weights, for inference in float32 on a CPU.

    Calling it maps x (batch, input_dim) to (batch, output_dim), as a DeferredGradLinear does. For
    one row up to a few hundred, it takes a fifth to a half of the time of torch's product, which
    packs its weights at every call. The kernel is that of this package, or oneDNN's if there is no
    compiler.

    Args:
        weight: (output_dim, input_dim).
        bias: (output_dim) or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        self.has_kernel = library(KERNELS) is not None
        if self.has_kernel:
            self.packed = pack_weight(self.buffer.weight)
        else:
            self.packed = torch.ops.mkldnn._reorder_linear_weight(self.buffer.weight)

    def __call__(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """Apply the layer to x (batch, input_dim); the result is (batch, output_dim).

        `onto` (batch, output_dim) is added to it.
        """
        base = self.bias if onto is None else onto if self.bias is None else onto + self.bias
        one = base is not None and (base.dim() == 1 or base.stride(0) == 0)  # the same for all rows
        if base is not None and one and base.dim() == 2:
            base = base[0]
        if self.has_kernel:
            return self._kernel(x, base)
        product = torch.ops.mkldnn._linear_pointwise
        if base is None or one:
            return product(x, self.packed, base, "none", [], "")
        return product.binary(x, base, self.packed, None, "add")

    def _kernel(self, x: Tensor, base: Tensor | None) -> Tensor:
        outputs, inputs = self.buffer.weight.shape
        output = x.new_empty(len(x), outputs)
        base = None if base is None else base.contiguous().expand_as(output)
        base_stride = 0 if base is None else base.stride(0)
        parts = x.contiguous(), self.packed, base, base_stride, output
        call(KERNELS, "linear", *parts, len(x), inputs, outputs)
        return output


def prepacked(linear: DeferredGradLinear) -> DeferredGradLinear:
    """Return a linear layer with prepacked weights if possible, otherwise the layer unchanged.

    Possible means float32, on a CPU, without gradients, and with the package's kernel or oneDNN.

    Args:
        linear: layer (batch, input_dim) to (batch, output_dim).
    """
    weight = linear.buffer.weight
    if not has_memory(weight, linear.bias) or torch.is_grad_enabled():
        return linear
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return linear
    if weight.numel() == 0 or not (library(KERNELS) or torch.backends.mkldnn.is_available()):
        return linear
    return PrepackedLinear(weight, linear.bias)


def pack_weight(weight: Tensor) -> Tensor:
    """Pack a weight in the order in which the C++ kernel reads it.

    The library of the kernel must be available.

    Args:
        weight: (outputs, inputs) float32 on a CPU.

    Returns:
        A flat float32 tensor of as many elements as the kernel needs.
    """
    outputs, inputs = weight.shape
    size = torch.empty(1, dtype=torch.int64)
    call(KERNELS, "size_packed", size, outputs, inputs)
    packed = weight.new_empty(int(size))
    call(KERNELS, "pack_weight", weight.contiguous(), packed, outputs, inputs)
    return packed
