"""Description of the attention RNN over all steps, by tensors and sizes, for every backend.

At each step, the RNN's layers read [input; previous context], the top layer's hidden state queries
the memory by additive attention, and the context goes to the next step. The plain torch formula,
which the backends are tested against, is `speechseq.nn.attention_rnn.AttentionRNN.step_by_step`.

The inputs are known before the loop, so the part of the bottom layer's gates that depends on them
is computed, "hoisted", for all steps at once. Backends run the loop from these hoisted gates.
"""

from collections.abc import Sequence as Series
from typing import Any, NamedTuple

import torch
from torch import Tensor


class LoopSpec(NamedTuple):
    """Data without gradients of one run of the attention RNN over all steps.

    Args:
        dtype: of states and matrix products, float32 or bfloat16.
        lengths: (batch) steps of each row; outputs are zeros after them.
        memory_mask: (batch, positions).
        first_weights: (batch, positions) float32, the attention weights before the first step.
        sharpening: factor of the energies.
        through_previous: True if gradients flow through the previous weights.
        channels: inputs of the location filters: 0 for content-based attention, 1 if they read the
            previous weights, 2 if they also read the sum of all previous weights.
        kernel: width of the location filters, in positions.
        lstm: for each layer from the bottom, True for an LSTM and False for a GRU.
        dropout_bits: `recurrent_dropout_bits` (steps, batch, hidden) of each layer, or None.
        rates: dropout scale and zoneout rate of each layer. Without bits, the state is a mean of
            old and new state, with the zoneout rate as the share of the old one.
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
    """Differentiable tensors of one run of the attention RNN, apart from its inputs.

    Each layer has four gates: those of an LSTM, or of a GRU whose new gate is split into the share
    of the inputs and the share of the hidden state.

    Args:
        keys: (batch, positions, dim).
        memory: (batch, positions, memory_dim), zeros where the mask is False.
        query: (dim, hidden), weight of the query's projection.
        energy: (dim), weight of the energies.
        filters: (filters, channels, kernel), location filters; None for content-based attention.
        location: (dim, filters), projection of the filters' outputs; None for content-based
            attention.
        weights: (4 * hidden, inputs + hidden) of each layer, over [context or layer below; hidden].
        biases: (4 * hidden) of each layer; that of the bottom layer is part of the hoisted gates.
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
        """Return all tensors in one tuple, as an autograd Function takes them."""
        return *self[:6], *self.weights, *self.biases

    @staticmethod
    def of(flat: Series[Any]) -> "LoopInputs":
        """Rebuild the tuple from the flat tensors that `flat` returned."""
        keys, memory, query, energy, filters, location, *rest = flat
        parts = keys, memory, query, energy, filters, location
        layers = len(rest) // 2
        return LoopInputs(*parts, tuple(rest[:layers]), tuple(rest[layers:]))
