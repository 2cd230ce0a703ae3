"""Description of the attention RNN over all steps, by tensors and sizes, for every backend.

At each step, the RNN's layers read [input; previous context], the top layer's hidden state queries
the memory by additive attention, and the context goes to the next step. The plain torch formula,
which the backends are tested against, is `speechseq.nn.attention_rnn.AttentionRNN.step_by_step`.

The inputs of all steps are known before the loop. Their products with the weights of the bottom
layer's gates, with the bias, are computed before it for all steps at once; these are the "input
gates", to which each step adds the products of context and hidden state.
"""

from collections.abc import Sequence as Series
from typing import Any, NamedTuple

import torch
from torch import Tensor


class LoopSpec(NamedTuple):
    """Settings and tensors without gradients of one run of the attention RNN over all steps.

    Args:
        dtype: dtype of states and matrix products, float32 or bfloat16.
        lengths: (batch) int64, number of valid steps of each item; outputs are zeros after them.
        memory_mask: (batch, positions) bool, True for valid positions of the memory.
        first_weights: (batch, positions) float32, the attention weights before the first step.
        sharpening: factor of the energies before the softmax.
        through_previous: True if gradients flow through the previous attention weights, which the
            location filters read.
        channels: number of inputs of the location filters: 0 for content-based attention (no
            filters), 1 if they read the previous weights, 2 if they also read the sum of all
            earlier weights.
        kernel: width of the location filters, in positions.
        lstm: for each layer from the bottom, True for an LSTM and False for a GRU.
        dropout_bits: for each layer, the uint8 bits (steps, batch, hidden) of
            `recurrent_dropout_bits`, or None.
        rates: for each layer, the factor of the units that dropout keeps and the zoneout rate.
            Zoneout keeps units of the previous state; without bits, each state is (1 - rate) · new
            + rate · old.
    """

    dtype: torch.dtype
    lengths: Tensor
    memory_mask: Tensor
    first_weights: Tensor
    sharpening: float
    through_previous: bool
    channels: int
    kernel: int
    lstm: tuple[bool, ...]
    dropout_bits: tuple[Tensor | None, ...]
    rates: tuple[tuple[float, float], ...]


class LoopInputs(NamedTuple):
    """Tensors with gradients of one run of the attention RNN, apart from its inputs.

    Each layer has four gates: those of an LSTM (input, forget, cell, output), or reset, update and
    the new gate of a GRU, whose part from the inputs and part from the hidden state are apart. All
    are float32, or of the run's dtype.

    Args:
        keys: (batch, positions, dim), the projected memory.
        memory: (batch, positions, memory_dim), zeros where the mask is False.
        query: (dim, hidden), weight of the query's projection.
        energy: (dim), weight of the energies: energy · tanh(query + keys + location).
        filters: (filters, channels, kernel), location filters; None for content-based attention.
        location: (dim, filters), projection of the filters' outputs; None for content-based
            attention.
        weights: for each layer from the bottom, (4 * hidden, inputs + hidden), applied to [context
            or hidden state of the layer below; own hidden state].
        biases: for each layer, (4 * hidden); that of the bottom layer is part of the input gates.
    """

    keys: Tensor
    memory: Tensor
    query: Tensor
    energy: Tensor
    filters: Tensor | None
    location: Tensor | None
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    def flat(self) -> tuple[Tensor | None, ...]:
        """Return all tensors in one tuple (6 + 2 · layers), as an autograd Function takes them."""
        return *self[:6], *self.weights, *self.biases

    @staticmethod
    def of(flat: Series[Any]) -> "LoopInputs":
        """Rebuild the named tuple from its flat form.

        Args:
            flat: the tuple that `flat` returned, or gradients in the same order.
        """
        keys, memory, query, energy, filters, location, *rest = flat
        parts = keys, memory, query, energy, filters, location
        layers = len(rest) // 2
        return LoopInputs(*parts, tuple(rest[:layers]), tuple(rest[layers:]))
