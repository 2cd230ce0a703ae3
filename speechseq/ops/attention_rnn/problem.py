"""The attention RNN over all steps of known inputs, described by tensors and sizes for any backend.

At each step the RNN's layers read [input; context of the step before], the top layer's hidden state
queries the memory by additive attention, and the context goes to the next step. In plain torch:
`speechseq.nn.attention_rnn.AttentionRNN.step_by_step`, which the backends are tested against.
"""

from collections.abc import Sequence as Series
from typing import Any, NamedTuple

import torch
from torch import Tensor


class LoopSpec(NamedTuple):
    """Everything that a run needs besides its differentiable tensors.

    Args:
        dtype: of states and matrix products, float32 or bfloat16.
        lengths: (batch) steps of each row; outputs are zeros after them.
        memory_mask: (batch, positions).
        first_weights: (batch, positions) float32, the attention weights before the first step.
        sharpening: factor of the energies.
        through_previous: whether gradients flow through the previous weights.
        channels, kernel: of the location filters; 0 channels for content-based attention, 1 for
            the previous weights, 2 for these and the sum of all before.
        lstm: whether each layer, from the bottom, is an LSTM; else it is a GRU.
        dropout_bits: `recurrent_dropout_bits` (steps, batch, hidden) of each layer, or None.
        rates: each layer's dropout scale, and the zoneout rate, which applies without bits.
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
    """Differentiable tensors of a run besides its sequence of inputs.

    Each layer has four gates: an LSTM's, or a GRU's with the new gate in two, the share of the
    inputs and the share of the hidden state.

    Args:
        keys: (batch, positions, dim).
        memory: (batch, positions, memory_dim), zeros where the mask is False.
        query: (dim, hidden), weight of the query's projection.
        energy: (dim), weight of the energies.
        filters: (filters, channels, kernel), location filters; None for content-based attention.
        location: (dim, filters), projection of the filters' outputs; None likewise.
        weights: (4 * hidden, inputs + hidden) of each layer, over [context or layer below; hidden].
        biases: (4 * hidden) of each layer; the bottom layer's belongs to its hoisted gates.
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
        """All tensors in one tuple, as an autograd Function takes them."""
        return *self[:6], *self.weights, *self.biases

    @staticmethod
    def of(flat: Series[Any]) -> "LoopInputs":
        """The inverse of `flat`."""
        keys, memory, query, energy, filters, location, *rest = flat
        parts = keys, memory, query, energy, filters, location
        layers = len(rest) // 2
        return LoopInputs(*parts, tuple(rest[:layers]), tuple(rest[layers:]))
