"""Quantisation of weights, and packing of layers in the order in which kernels read them."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from speechseq.errors import ConfigError

PRECISIONS = ("float32", "bfloat16", "int8")


def check_precision(precision: str) -> None:
    """Raise ConfigError if a precision is not one of "float32", "bfloat16" and "int8".

    Args:
        precision: the name to check.

    Raises:
        ConfigError: the precision is not known.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision: {precision!r} is not known", "use one of " + _known())


def _known() -> str:
    return ", ".join(PRECISIONS)


class Quantized(NamedTuple):
    """Quantised weights.

    Attributes:
        values: (outputs, inputs), in float32, bfloat16 or int8.
        scales: (outputs) for int8, otherwise None.
    """

    values: Tensor
    scales: Tensor | None

    def dequantize(self) -> Tensor:
        """Return the weights in float32, (outputs, inputs)."""
        values = self.values.float()
        return values if self.scales is None else values * self.scales.unsqueeze(1)


def quantize(weight: Tensor, precision: str) -> Quantized:
    """Round a weight to a precision.

    int8 has a scale for each output, the largest absolute weight divided by 127.

    Args:
        weight: (outputs, inputs).
        precision: "float32", "bfloat16" or "int8".

    Returns:
        The rounded values (outputs, inputs), and their scales (outputs) if int8.
    """
    weight = weight.detach()
    if precision == "int8":
        scales = weight.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / 127
        return Quantized((weight / scales.unsqueeze(1)).round().to(torch.int8), scales)
    return Quantized(weight.to(torch.bfloat16 if precision == "bfloat16" else torch.float32), None)


class Packed(NamedTuple):
    """Linear layer in the layout that the C++ kernels of csrc/skinny_gemm.h read.

    A panel is the block of outputs that a kernel computes together, `vectors` vector registers of
    `lanes` floats.

    Attributes:
        weights: (panels, inputs, vectors, lanes), float32, bfloat16 or int8; the weights of a panel
            are adjacent for each input.
        scales: (panels · vectors · lanes) float32, factor of each output, padded to whole panels;
            None unless int8.
        bias: (panels · vectors · lanes) float32, padded to whole panels, or None.
    """

    weights: Tensor
    scales: Tensor | None
    bias: Tensor | None

    def descriptor(self) -> tuple[Tensor | int | None, ...]:
        """Return the fields of the C++ struct `Matrix` in their order, to pass to a kernel.

        They are weights, scales, bias, sizes, and 0 (float32), 1 (bfloat16) or 2 (int8).
        """
        panels, inputs, vectors, _ = self.weights.shape
        kind = (torch.float32, torch.bfloat16, torch.int8).index(self.weights.dtype)
        return *self, inputs, panels, vectors, kind


class Shape(NamedTuple):
    """Shape of a panel, the block of outputs that a kernel computes together.

    Attributes:
        vectors: vectors per panel; a cell has one per gate, for the same units.
        lanes: outputs per vector, as many as floats fit in a vector register.
        is_cell: True for the weights of an LSTM or GRU.
    """

    vectors: int
    lanes: int
    is_cell: bool = False


def pack(weight: Tensor, bias: Tensor | None, precision: str, shape: Shape) -> Packed:
    """Round a layer's weight (outputs, inputs) to a precision and pack it in the order of kernels.

    Args:
        weight: (outputs, inputs).
        bias: (outputs), or None; it becomes float32.
        precision: "float32", "bfloat16" or "int8".
        shape: how many outputs a kernel computes together.
    """
    values, scales = quantize(weight, precision)
    columns = [None if x is None else _panels(x.unsqueeze(1), shape) for x in (scales, bias)]
    return Packed(_panels(values, shape), *columns)


def _panels(weight: Tensor, shape: Shape) -> Tensor:
    """(outputs, inputs) to (panels, inputs, vectors, lanes), zero beyond the last output."""
    vectors, lanes, is_cell = shape
    inputs = weight.shape[1]
    parts = weight.detach().view(vectors if is_cell else 1, -1, inputs)
    whole = lanes if is_cell else vectors * lanes
    parts = F.pad(parts, (0, 0, 0, -parts.shape[1] % whole))
    if is_cell:
        panels = parts.view(vectors, -1, lanes, inputs).permute(1, 3, 0, 2)
    else:
        panels = parts.view(-1, vectors, lanes, inputs).permute(0, 3, 1, 2)
    return panels.contiguous()
