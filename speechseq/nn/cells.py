"""Recurrent cells in two halves: the inputs' half runs for all steps at once, the rest stepwise."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.arguments import checked_lengths
from speechseq.nn.masks import length_mask
from speechseq.ops.deferred_linear import DeferredGradLinear
from speechseq.ops.dropout import (
    CELL_KEPT,
    DROPPED,
    HIDDEN_KEPT,
    RecurrentDropout,
    recurrent_dropout_bits,
)
from speechseq.ops.linear import linear
from speechseq.ops.plain import is_plain, renew
from speechseq.ops.rnn import RUN, Kind, Weights, supported
from speechseq.ops.varlen import Rows, RowsOut, Varlen
from speechseq.shapes import Hidden, Lengths, Sequence


class LSTMState(NamedTuple):
    """State of an LSTM cell: hidden and cell state, each (batch, hidden)."""

    hidden: Tensor
    cell: Tensor


class GRUState(NamedTuple):
    """State of a GRU cell: its hidden state, (batch, hidden)."""

    hidden: Tensor


State = LSTMState | GRUState
Products = tuple[DeferredGradLinear, ...]  # of one step of a cell
Bits = Tensor | None  # of `recurrent_dropout_bits`


class FourGates(NamedTuple):
    """Weights of an LSTM or GRU cell in the layout of the kernels, as four gates.

    inputs (4 * hidden, input_dim), recurrent (4 * hidden, context_dim + hidden), bias (4 * hidden).
    """

    inputs: Tensor
    recurrent: Tensor
    bias: Tensor


class SplitCell(nn.Module):
    """Base class of `SplitLSTM` and `SplitGRU`, recurrent cells that multiply their inputs early.

    For the inputs x (batch, steps, input_dim) of a loop, `gates = cell.hoist(x)` is computed once.
    Then `state = cell(gates[:, t], context, state, products)` runs step t, with `products =
    cell.step_weights()` and the first state from `start`. Without context, call `run`. Parameters
    are those of nn.LSTMCell or nn.GRUCell over [inputs; context].

    Args:
        input_dim: channels of the inputs, which are known for all steps beforehand.
        context_dim: channels of the context, which comes from the previous step; 0 for none.
        hidden: units.
        zoneout: probability of keeping a unit's previous value; in evaluation its expectation.
        dropout: probability of dropping a unit of the hidden state, for the next step too.
    """

    gates = 0
    kind: Kind
    zoned: tuple[int, ...] = ()  # the bits of the states that zoneout may keep

    def __init__(
        self,
        input_dim: int,
        context_dim: int,
        hidden: int,
        *,
        zoneout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.input_dim, self.context_dim, self.hidden = input_dim, context_dim, hidden
        self.zoneout, self.dropout = zoneout, dropout
        self.weight_ih = nn.Parameter(torch.empty(self.gates * hidden, input_dim + context_dim))
        self.weight_hh = nn.Parameter(torch.empty(self.gates * hidden, hidden))
        self.bias_ih = nn.Parameter(torch.empty(self.gates * hidden))
        self.bias_hh = nn.Parameter(torch.empty(self.gates * hidden))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden**-0.5), hidden**-0.5)

    def hoist(self, inputs: Float[Tensor, "*rest input_dim"]) -> Float[Tensor, "*rest gates"]:
        """Multiply inputs (…, input_dim) by their weights: pre-activations (…, gates · hidden)."""
        renew(self)
        return linear(inputs, self.weight_ih[:, : self.input_dim], self._hoisted_bias())

    def _hoisted_bias(self) -> Tensor:
        return self.bias_ih

    def step_weights(self) -> Products:
        """Return the linear layers that each step applies, the argument `products` of `forward`."""
        raise NotImplementedError

    def start(self, batch: int, like: Tensor) -> State:
        """Return the zero state (batch, hidden) before the first step, with the dtype of `like`."""
        raise NotImplementedError

    def four_gates(self) -> FourGates:
        """Return all weights and biases as a `FourGates`; a GRU's new gate counts as two gates."""
        raise NotImplementedError

    def recurrent_dropout_bits(
        self, steps: int, batch: int, device: torch.device | str
    ) -> Tensor | None:
        """Draw dropout and zoneout bits (steps, batch, hidden); None in eval mode or at rates 0."""
        if not self.training:
            return None
        zoned = dict.fromkeys(self.zoned, self.zoneout)
        shape = steps, batch, self.hidden
        return recurrent_dropout_bits(shape, self.dropout, zoned, device)

    @property
    def dropout_scale(self) -> float:
        """Return 1 / (1 - dropout), by which dropout multiplies the units that it keeps."""
        return 1 / (1 - self.dropout) if self.dropout < 1 else 0.0

    def forward(
        self, gates: Tensor, context: Tensor, state: State, products: Products, bits: Bits = None
    ) -> State:
        """Run one step; return the next state.

        `gates` (batch, gates · hidden) are the step's result of `hoist`, `context` (batch,
        context_dim) comes from the previous step, and `products` is the result of `step_weights`.
        `bits` (batch, hidden) is the step's part of `recurrent_dropout_bits`; None draws it here.
        """
        raise NotImplementedError

    def step(self, inputs: Tensor, state: State) -> State:
        """Run one step of a cell without context on inputs (batch, input_dim); return the state."""
        return self(self.hoist(inputs), _no_context(inputs), state, self.step_weights())

    def run(self, inputs: Sequence, lengths: Lengths | None = None) -> Hidden:
        """Map inputs (batch, steps, input_dim), `lengths` (batch), to (batch, steps, hidden)."""
        batch, steps = inputs.shape[:2]
        lengths = torch.full((batch,), steps) if lengths is None else lengths
        lengths = checked_lengths(lengths, inputs.shape)
        rows = Varlen.of(length_mask(lengths.to(inputs.device), steps))
        return rows.pad(self.run_rows(rows.unpad(inputs), rows))

    def run_rows(self, inputs: Rows, rows: Varlen) -> RowsOut:
        """Compute `run` without padding: inputs (rows, input_dim) to hidden states (rows, hidden).

        The rows of `inputs` are the valid steps of all utterances, one utterance after another; the
        `Varlen` `rows` has their layout. One kernel or torch RNN runs all steps if it gives the
        same result.
        """
        batch, steps = rows.shape
        bits = self.recurrent_dropout_bits(steps, batch, inputs.device)
        plain = is_plain(self, SplitLSTM, SplitGRU)
        if plain and supported(self.kind, inputs, weights := self._weights()):
            dropout = RecurrentDropout(bits, self.dropout_scale, self.zoneout)
            return RUN[self.kind](inputs, rows, (weights,), dropout)
        one_by_one = not plain or bits is not None or self.zoneout
        padded = rows.pad(inputs)
        return rows.unpad(self._step_by_step(padded, bits) if one_by_one else self._fused(padded))

    def _step_by_step(self, inputs: Tensor, bits: Tensor | None) -> Tensor:
        products, state = self.step_weights(), self.start(inputs.shape[0], inputs)
        nothing, hidden = _no_context(inputs), []
        for step, gates in enumerate(self.hoist(inputs).unbind(1)):
            state = self(gates, nothing, state, products, None if bits is None else bits[step])
            hidden.append(state.hidden)
        return torch.stack(hidden, dim=1)

    def _fused(self, inputs: Tensor) -> Tensor:
        zeros = inputs.new_zeros(1, inputs.shape[0], self.hidden)
        # behind the weights: biases, layers, dropout, training, bidirectional, batch first
        options = (self._weights(), True, 1, 0.0, self.training, False, True)
        if self.kind == "lstm":
            return torch.lstm(inputs, (zeros, zeros), *options)[0]
        return torch.gru(inputs, zeros, *options)[0]

    def _weights(self) -> Weights:
        return Weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

    def _step_bits(self, bits: Tensor | None, like: Tensor) -> Tensor | None:
        if bits is None:
            drawn = self.recurrent_dropout_bits(1, like.shape[0], like.device)
            return None if drawn is None else drawn[0]
        return bits

    def _zone(self, old: Tensor, new: Tensor, bits: Tensor | None, bit: int) -> Tensor:
        if not self.zoneout:
            return new
        if bits is None:
            return torch.lerp(new, old, self.zoneout)
        return torch.where((bits & bit) != 0, old, new)

    def _drop(self, hidden: Tensor, bits: Tensor | None) -> Tensor:
        if bits is None or not self.dropout:
            return hidden
        return hidden * ((bits & DROPPED) == 0) * self.dropout_scale


def _no_context(inputs: Tensor) -> Tensor:
    """Empty context (batch, 0); a slice of the inputs would have a gradient of their full size."""
    return inputs.new_empty(inputs.shape[0], 0)


class SplitLSTM(SplitCell):
    """LSTM cell (see `SplitCell`); its gates are in the order input, forget, cell, output."""

    gates = 4
    kind = "lstm"
    zoned = (HIDDEN_KEPT, CELL_KEPT)

    def start(self, batch: int, like: Tensor) -> LSTMState:
        """Return the zero state (batch, hidden) before the first step, with the dtype of `like`."""
        return LSTMState(like.new_zeros(batch, self.hidden), like.new_zeros(batch, self.hidden))

    def step_weights(self) -> Products:
        """Return one linear layer, from [context; hidden] to the gates; `hoist` adds the bias."""
        renew(self)
        weights: Tensor = self.weight_hh
        if self.context_dim:  # without one there is nothing to copy at every free-running step
            weights = torch.cat([self.weight_ih[:, self.input_dim :], weights], dim=1)
        return (DeferredGradLinear(weights, None),)

    def four_gates(self) -> FourGates:
        """Return weights and biases of the four gates: input, forget, cell, output."""
        inputs, context = self.weight_ih.split([self.input_dim, self.context_dim], 1)
        return FourGates(inputs, torch.cat([context, self.weight_hh], 1), self._hoisted_bias())

    def _hoisted_bias(self) -> Tensor:
        return self.bias_ih + self.bias_hh

    def forward(
        self, gates: Tensor, context: Tensor, state: State, products: Products, bits: Bits = None
    ) -> LSTMState:
        """Run one step on gates (batch, 4 * hidden) and context (batch, context_dim)."""
        assert isinstance(state, LSTMState)
        total = products[0](torch.cat([context, state.hidden], dim=-1), gates)
        i, f, g, o = total.chunk(4, dim=-1)
        cell = torch.sigmoid(f) * state.cell + torch.sigmoid(i) * torch.tanh(g)
        hidden, bits = torch.sigmoid(o) * torch.tanh(cell), self._step_bits(bits, cell)
        hidden = self._drop(self._zone(state.hidden, hidden, bits, HIDDEN_KEPT), bits)
        return LSTMState(hidden, self._zone(state.cell, cell, bits, CELL_KEPT))


class SplitGRU(SplitCell):
    """GRU cell (see `SplitCell`); its gates are in the order reset, update, new."""

    gates = 3
    kind = "gru"
    zoned = (HIDDEN_KEPT,)

    def start(self, batch: int, like: Tensor) -> GRUState:
        """Return the zero state (batch, hidden) before the first step, with the dtype of `like`."""
        return GRUState(like.new_zeros(batch, self.hidden))

    def step_weights(self) -> Products:
        """Return two linear layers to the gates, from the context and from the hidden state."""
        renew(self)
        context = self.weight_ih[:, self.input_dim :]
        return DeferredGradLinear(context, None), DeferredGradLinear(self.weight_hh, self.bias_hh)

    def four_gates(self) -> FourGates:
        """Return the weights for kernels: reset, update, and the new state's two parts."""
        no_new = (0, 0, 0, self.hidden)
        inputs, context = F.pad(self.weight_ih, no_new).split([self.input_dim, self.context_dim], 1)
        recurrent = torch.cat([context, _new_apart(self.weight_hh)], 1)
        bias = F.pad(self.bias_ih, (0, self.hidden)) + _new_apart(self.bias_hh)
        return FourGates(inputs, recurrent, bias)

    def forward(
        self, gates: Tensor, context: Tensor, state: State, products: Products, bits: Bits = None
    ) -> GRUState:
        """Run one step on gates (batch, 3 * hidden) and context (batch, context_dim)."""
        if self.context_dim:
            gates = products[0](context, gates)
        from_hidden = products[1](state.hidden)
        reset, update, new = gates.chunk(3, dim=-1)
        h_reset, h_update, h_new = from_hidden.chunk(3, dim=-1)
        candidate = torch.tanh(new + torch.sigmoid(reset + h_reset) * h_new)
        share = torch.sigmoid(update + h_update).to(state.hidden.dtype)
        hidden = torch.lerp(candidate.to(state.hidden.dtype), state.hidden, share)
        bits = self._step_bits(bits, hidden)
        return GRUState(self._drop(self._zone(state.hidden, hidden, bits, HIDDEN_KEPT), bits))


def _new_apart(three: Tensor) -> Tensor:
    """Rows of reset, update and new gate with zeros before the new gate's."""
    reset, update, new = three.chunk(3)
    return torch.cat([reset, update, torch.zeros_like(new), new])


CELLS: dict[str, type[SplitCell]] = {"lstm": SplitLSTM, "gru": SplitGRU}
