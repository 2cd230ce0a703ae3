"""Tensors that the C++ kernels of the attention RNN read and fill, beside those of its problem."""

from collections.abc import Sequence as Series
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class PackedSteps(NamedTuple):
    """Rows of all valid steps, concatenated step by step, as in torch's PackedSequence.

    All tensors are int64; `rows` is the number of valid steps of all items together.

    Args:
        order: (batch), items of the batch, the longest first: row i of every step is item
            `order[i]`.
        starts: (steps + 1), index of the first row of each step, then `rows`.
        items: (rows), index in the batch of each row's item.
        steps: (rows), step of each row.
        before: (rows), index of each row's previous state, in tensors (batch + rows, …) whose first
            `batch` rows are the states before the first step.
    """

    order: Tensor
    starts: Tensor
    items: Tensor
    steps: Tensor
    before: Tensor

    @staticmethod
    def of(lengths: Tensor, steps: int) -> "PackedSteps":
        """Pack the steps of a batch.

        Args:
            lengths: (batch) int64, number of valid steps of each item, clamped to 1 … `steps`.
            steps: number of steps of the padded batch.
        """
        lengths, order = lengths.clamp(1, steps).sort(descending=True, stable=True)
        step, row = (torch.arange(steps).unsqueeze(1) < lengths).nonzero().unbind(1)
        starts = F.pad(step.bincount(minlength=steps).cumsum(0), (1, 0))
        previous_row = starts[step - 1] + len(lengths)
        before = torch.where(step > 0, previous_row, 0) + row
        return PackedSteps(order, starts, order[row], step, before)


class LoopSaved(NamedTuple):
    """Tensors that the forward pass in C++ saves for the backward pass; layers from the bottom.

    `rows` are those of `PackedSteps`, the valid steps of all items. States and gates are float32 or
    bfloat16, the others float32.

    Args:
        queries: (rows, dim), projected queries of the attention.
        context: (batch + rows, memory_dim); the first `batch` rows are zeros, before the first
            step.
        alignment: (batch, steps, positions), attention weights.
        gates: for each layer, (rows, 4 * hidden), after their activations.
        hidden: for each layer, (batch + rows, hidden); the first `batch` rows are zeros.
        cells: cell states of LSTM layers, shaped as `hidden`; None for GRU layers.
    """

    queries: Tensor
    context: Tensor
    alignment: Tensor
    gates: tuple[Tensor, ...]
    hidden: tuple[Tensor, ...]
    cells: tuple[Tensor | None, ...]

    def flat(self) -> tuple[Tensor | None, ...]:
        """Return all tensors in one tuple (3 + 3 · layers), as an autograd Function saves them."""
        return *self[:3], *self.gates, *self.hidden, *self.cells

    @staticmethod
    def of(flat: Series[Any]) -> "LoopSaved":
        """Rebuild the named tuple from its flat form.

        Args:
            flat: the tuple that `flat` returned.
        """
        layers = (len(flat) - 3) // 3
        return LoopSaved(*flat[:3], *(flat[i : i + layers] for i in range(3, len(flat), layers)))


class Grads(NamedTuple):
    """Gradients that the C++ backward pass reads and fills; `rows` are those of `PackedSteps`.

    The kernel reads the first four fields and fills the others. Gradients of states and gates have
    the dtype of the run (float32 or bfloat16), the others are float32.

    Args:
        cumulative: (batch, steps, positions), no gradient: the sum of the alignment up to each
            step.
        hidden: (rows, hidden), gradient of the hidden states as outputs, or None.
        context: (rows, memory_dim), gradient of the contexts as outputs, or None.
        alignment: (batch, steps, positions), gradient of the alignment as an output, or None.
        queries: (rows, dim), gradient of the projected queries.
        read: (batch, steps, memory_dim), total gradient of the contexts.
        keys: (batch, positions, dim), gradient of the projected memory.
        energy: (batch, dim), gradient of the energy weight, for each item.
        filters: (batch, channels * kernel, filters), gradient of the location filters, for each
            item.
        location: (batch, dim, filters), gradient of the filters' projection, for each item.
        gates: for each layer, (rows, 4 * hidden), gradient of the pre-activations; may use the
            memory of the saved gates.
    """

    cumulative: Tensor
    hidden: Tensor | None
    context: Tensor | None
    alignment: Tensor | None
    queries: Tensor
    read: Tensor
    keys: Tensor
    energy: Tensor
    filters: Tensor
    location: Tensor
    gates: tuple[Tensor, ...]
