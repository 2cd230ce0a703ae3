"""A recurring product whose weights lie as the CPU reads them best, for loops without gradients."""

import torch
from torch import Tensor

from speechseq.eager import has_memory
from speechseq.ops.cpp.library import call, library
from speechseq.ops.deferred_linear import RecurringLinear

KERNELS = "search_step"


class PackedLinear(RecurringLinear):
    """y = W x + b with packed weights; what it does is what a `RecurringLinear` does.

    In float32 from one row to some hundred it takes a fifth to a half of the time of torch's own
    product, which packs its weights anew at every call. The kernel is ours, or oneDNN's where no
    compiler stands ready.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        self.ours = library(KERNELS) is not None
        if self.ours:
            self.packed = pack_weight(self.tape.weight)
        else:
            self.packed = torch.ops.mkldnn._reorder_linear_weight(self.tape.weight)

    def __call__(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """(batch, input_dim) to (batch, output_dim); `onto` is a sum to add the product to."""
        base = self.bias if onto is None else onto if self.bias is None else onto + self.bias
        one = base is not None and (base.dim() == 1 or base.stride(0) == 0)  # the same for all rows
        if base is not None and one and base.dim() == 2:
            base = base[0]
        if self.ours:
            return self._kernel(x, base)
        product = torch.ops.mkldnn._linear_pointwise
        if base is None or one:
            return product(x, self.packed, base, "none", [], "")
        return product.binary(x, base, self.packed, None, "add")

    def _kernel(self, x: Tensor, base: Tensor | None) -> Tensor:
        outputs, inputs = self.tape.weight.shape
        made = x.new_empty(len(x), outputs)
        base = None if base is None else base.contiguous().expand_as(made)
        apart = 0 if base is None else base.stride(0)
        parts = x.contiguous(), self.packed, base, apart, made
        call(KERNELS, "linear", *parts, len(x), inputs, outputs)
        return made


def packed(linear: RecurringLinear) -> RecurringLinear:
    """The same product with packed weights, where they can be: float32, a CPU, and no gradients."""
    weight = linear.tape.weight
    if not has_memory(weight, linear.bias) or torch.is_grad_enabled():
        return linear
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return linear
    if weight.numel() == 0 or not (library(KERNELS) or torch.backends.mkldnn.is_available()):
        return linear
    return PackedLinear(weight, linear.bias)


def pack_weight(weight: Tensor) -> Tensor:
    """A weight (outputs, inputs) in the order in which the kernel reads it; ask `library` first."""
    outputs, inputs = weight.shape
    size = torch.empty(1, dtype=torch.int64)
    call(KERNELS, "size_packed", size, outputs, inputs)
    made = weight.new_empty(int(size))
    call(KERNELS, "pack_weight", weight.contiguous(), made, outputs, inputs)
    return made
