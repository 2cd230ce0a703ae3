"""Weights rounded to a precision, and packed in the order in which a kernel reads them."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from speechseq.errors import ConfigError

PRECISIONS = ("float32", "bfloat16", "int8")
LANES = 16  # outputs in a panel


def check_precision(precision: str) -> None:
    """Raise ConfigError for a precision that is not known."""
    if precision not in PRECISIONS:
        raise ConfigError(f"precision: {precision!r} is not known", "use one of " + _known())


def _known() -> str:
    return ", ".join(PRECISIONS)


class Rounded(NamedTuple):
    """numbers (outputs, inputs) in float32, bfloat16 or int8, and int8's scales (outputs)."""

    numbers: Tensor
    scales: Tensor | None

    def whole(self) -> Tensor:
        """The weights that the numbers stand for, in float32."""
        numbers = self.numbers.float()
        return numbers if self.scales is None else numbers * self.scales.unsqueeze(1)


def rounded(weight: Tensor, precision: str) -> Rounded:
    """A weight (outputs, inputs) in a precision; in int8 each output has a scale of its own."""
    weight = weight.detach()
    if precision == "int8":
        scales = weight.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / 127
        return Rounded((weight / scales.unsqueeze(1)).round().to(torch.int8), scales)
    return Rounded(weight.to(torch.bfloat16 if precision == "bfloat16" else torch.float32), None)


class Packed(NamedTuple):
    """A linear layer as thin.h reads it: panels of 16 outputs, for each input 16 weights side by
    side; scales and bias of whole panels, or None."""

    weights: Tensor
    scales: Tensor | None
    bias: Tensor | None

    def words(self) -> list[int]:
        """Six 64-bit words: addresses of the three, inputs, panels, and the kind of number."""
        panels, inputs, _ = self.weights.shape
        kind = (torch.float32, torch.bfloat16, torch.int8).index(self.weights.dtype)
        addresses = [0 if part is None else part.data_ptr() for part in self]
        return [*addresses, inputs, panels, kind]


def pack(weight: Tensor, bias: Tensor | None, precision: str, gates: int = 1) -> Packed:
    """Pack a layer (outputs, inputs); the panels of a cell's gates stand unit by unit."""
    numbers, scales = rounded(weight, precision)
    panels = _panels(numbers, gates)
    columns = [
        None if x is None else _panels(x.unsqueeze(1).float(), gates) for x in (scales, bias)
    ]
    return Packed(panels, *columns)


def _panels(weight: Tensor, gates: int) -> Tensor:
    """(gates * units, inputs) to (panels, inputs, 16), zero where a unit is none."""
    inputs = weight.shape[1]
    by_gate = weight.detach().view(gates, -1, inputs)
    by_gate = F.pad(by_gate, (0, 0, 0, -by_gate.shape[1] % LANES))
    panels = by_gate.view(gates, -1, LANES, inputs).permute(1, 0, 3, 2)
    return panels.reshape(-1, inputs, LANES).contiguous()
