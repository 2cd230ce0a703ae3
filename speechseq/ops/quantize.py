"""Quantisation of weights, and packing them in the order in which a kernel reads them."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from speechseq.errors import ConfigError

PRECISIONS = ("float32", "bfloat16", "int8")


def check_precision(precision: str) -> None:
    """Raise ConfigError for an unknown precision."""
    if precision not in PRECISIONS:
        raise ConfigError(f"precision: {precision!r} is not known", "use one of " + _known())


def _known() -> str:
    return ", ".join(PRECISIONS)


class Rounded(NamedTuple):
    """Quantised weights: numbers (outputs, inputs) in float32, bfloat16 or int8; scales (outputs)
    for int8."""

    numbers: Tensor
    scales: Tensor | None

    def whole(self) -> Tensor:
        """Dequantise the weights to float32."""
        numbers = self.numbers.float()
        return numbers if self.scales is None else numbers * self.scales.unsqueeze(1)


def rounded(weight: Tensor, precision: str) -> Rounded:
    """Quantise a weight (outputs, inputs) to a precision; in int8 each output has its own scale."""
    weight = weight.detach()
    if precision == "int8":
        scales = weight.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / 127
        return Rounded((weight / scales.unsqueeze(1)).round().to(torch.int8), scales)
    return Rounded(weight.to(torch.bfloat16 if precision == "bfloat16" else torch.float32), None)


class Packed(NamedTuple):
    """Packed linear layer, as thin.h reads it: weights (panels, inputs, vectors, lanes), where the
    weights of a panel's outputs are adjacent for each input; scales and bias of whole panels, or
    None."""

    weights: Tensor
    scales: Tensor | None
    bias: Tensor | None

    def fields(self) -> tuple[Tensor | int | None, ...]:
        """Return the fields of the kernel's struct `Matrix`."""
        panels, inputs, vectors, _ = self.weights.shape
        kind = (torch.float32, torch.bfloat16, torch.int8).index(self.weights.dtype)
        return *self, inputs, panels, vectors, kind


class Shape(NamedTuple):
    """Shape of a panel: `vectors` of `lanes` outputs; in a cell, one vector per gate of the same
    units."""

    vectors: int
    lanes: int
    is_cell: bool = False


def pack(weight: Tensor, bias: Tensor | None, precision: str, shape: Shape) -> Packed:
    """Pack a layer (outputs, inputs) into panels, in a precision; the bias stays in float32."""
    numbers, scales = rounded(weight, precision)
    beside = [None if x is None else _panels(x.unsqueeze(1), shape) for x in (scales, bias)]
    return Packed(_panels(numbers, shape), *beside)


def _panels(weight: Tensor, shape: Shape) -> Tensor:
    """(outputs, inputs) to (panels, inputs, vectors, lanes), padded with zeros."""
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
