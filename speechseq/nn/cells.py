"""Recurrent cells cut in two: what their inputs give is hoisted, what recurs runs step by step."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.arguments import checked_lengths
from speechseq.nn.masks import length_mask
from speechseq.ops.deferred_linear import RecurringLinear
from speechseq.ops.linear import linear
from speechseq.ops.plain import is_plain, renew
from speechseq.ops.rnn import RUN, Kind, Weights, kernel_serves
from speechseq.ops.rnn_dropout import CELL_KEPT, DROPPED, HIDDEN_KEPT, Chance, draw
from speechseq.ops.varlen import Made, Rows, ValidRows
from speechseq.shapes import Hidden, Lengths, Sequence


class LSTMState(NamedTuple):
    """What an LSTM cell remembers, each (batch, hidden)."""

    hidden: Tensor
    cell: Tensor


class GRUState(NamedTuple):
    """What a GRU cell remembers (batch, hidden)."""

    hidden: Tensor


State = LSTMState | GRUState


class FourGates(NamedTuple):
    """A cell's parameters as four gates of `hidden` units over [inputs; context; hidden].

    inputs (4 * hidden, input_dim), recurring (4 * hidden, context_dim + hidden), bias (4 * hidden).
    """

    inputs: Tensor
    recurring: Tensor
    bias: Tensor


class SplitCell(nn.Module):
    """A recurrent cell cut in two: what its inputs give, hoisted, and what recurs, step by step.

    Parameters are named and shaped as in nn.LSTMCell and nn.GRUCell over the input
    [inputs; context], so weights can be copied. `inputs` are known for all steps beforehand;
    `context` comes from the step before (attention) and may have no channels at all.

    Args:
        input_dim: channels known beforehand.
        context_dim: channels that recur.
        hidden: units.
        zoneout: probability of keeping a unit's previous value; in evaluation its expectation.
        dropout: probability of dropping a unit of the hidden state, fed back as dropped.
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
        """The share of the gates that the inputs give, for all steps in one product."""
        renew(self)
        return linear(inputs, self.weight_ih[:, : self.input_dim], self._hoisted_bias())

    def _hoisted_bias(self) -> Tensor:
        return self.bias_ih

    def recurring(self) -> tuple[RecurringLinear, ...]:
        """The products of a step, made ready once an utterance; handed to every step."""
        raise NotImplementedError

    def start(self, batch: int, like: Tensor) -> State:
        """The state before the first step: zeros."""
        raise NotImplementedError

    def four_gates(self) -> FourGates:
        """The same mathematics, as one product a step of what every cell has four of."""
        raise NotImplementedError

    def draw(self, steps: int, batch: int, device: torch.device | str) -> Tensor | None:
        """Bits of dropout and zoneout for all steps (steps, batch, hidden); None without either."""
        if not self.training:
            return None
        zoned = dict.fromkeys(self.zoned, self.zoneout)
        return draw((steps, batch, self.hidden), self.dropout, zoned, device)

    @property
    def multiplier(self) -> float:
        """What dropout multiplies the units by that it leaves."""
        return 1 / (1 - self.dropout) if self.dropout < 1 else 0.0

    def forward(
        self,
        gates: Tensor,
        context: Tensor,
        state: State,
        recurring: tuple[RecurringLinear, ...],
        drawn: Tensor | None = None,
    ) -> State:
        """One step: hoisted gates (batch, gates), context (batch, context_dim), state → state.

        `drawn` (batch, hidden) is the step's part of what `draw` gave; drawn here if it is missing.
        """
        raise NotImplementedError

    def step(self, inputs: Tensor, state: State) -> State:
        """One step of a cell that reads no context: inputs (batch, input_dim)."""
        return self(self.hoist(inputs), _no_context(inputs), state, self.recurring())

    def run(self, inputs: Sequence, lengths: Lengths | None = None) -> Hidden:
        """`run_rows` of (batch, steps, input_dim), of all steps where no lengths are given."""
        batch, steps = inputs.shape[:2]
        given = torch.full((batch,), steps) if lengths is None else lengths
        lengths = checked_lengths(given, inputs.shape)
        rows = ValidRows.of(length_mask(lengths.to(inputs.device), steps))
        return rows.put(self.run_rows(rows.take(inputs), rows))

    def run_rows(self, inputs: Rows, rows: ValidRows) -> Made:
        """All steps of a cell that reads no context, (rows, input_dim) → hidden states.

        One call of a kernel, or of torch without zoneout and dropout; else, and for cells that are
        not plain (see `nn.plain`), one step after the other.
        """
        batch, steps = rows.shape
        drawn, plain = self.draw(steps, batch, inputs.device), is_plain(self, SplitLSTM, SplitGRU)
        if plain and kernel_serves(self.kind, inputs, weights := self._weights()):
            chance = Chance(drawn, self.multiplier, self.zoneout)
            return RUN[self.kind](inputs, rows, (weights,), chance)
        one_by_one = not plain or drawn is not None or self.zoneout
        padded = rows.put(inputs)
        return rows.take(self._step_by_step(padded, drawn) if one_by_one else self._fused(padded))

    def _step_by_step(self, inputs: Tensor, drawn: Tensor | None) -> Tensor:
        recurring, state = self.recurring(), self.start(inputs.shape[0], inputs)
        nothing, hidden = _no_context(inputs), []
        for step, gates in enumerate(self.hoist(inputs).unbind(1)):
            state = self(gates, nothing, state, recurring, None if drawn is None else drawn[step])
            hidden.append(state.hidden)
        return torch.stack(hidden, dim=1)

    def _fused(self, inputs: Tensor) -> Tensor:
        zeros = inputs.new_zeros(1, inputs.shape[0], self.hidden)
        # behind the weights: biases, layers, dropout, training, bidirectional, batch first
        numbers = (self._weights(), True, 1, 0.0, self.training, False, True)
        if self.kind == "lstm":
            return torch.lstm(inputs, (zeros, zeros), *numbers)[0]
        return torch.gru(inputs, zeros, *numbers)[0]

    def _weights(self) -> Weights:
        return Weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

    def _drawn(self, drawn: Tensor | None, like: Tensor) -> Tensor | None:
        if drawn is None:
            one = self.draw(1, like.shape[0], like.device)
            return None if one is None else one[0]
        return drawn

    def _zone(self, old: Tensor, new: Tensor, drawn: Tensor | None, bit: int) -> Tensor:
        if not self.zoneout:
            return new
        if drawn is None:
            return torch.lerp(new, old, self.zoneout)
        return torch.where((drawn & bit) != 0, old, new)

    def _drop(self, hidden: Tensor, drawn: Tensor | None) -> Tensor:
        if drawn is None or not self.dropout:
            return hidden
        return hidden * ((drawn & DROPPED) == 0) * self.multiplier


def _no_context(inputs: Tensor) -> Tensor:
    """(batch, 0), and no slice of the inputs: its gradient would be as large as all of them."""
    return inputs.new_empty(inputs.shape[0], 0)


class SplitLSTM(SplitCell):
    """The LSTM cell, cut in two; gates in the order input, forget, cell, output."""

    gates = 4
    kind = "lstm"
    zoned = (HIDDEN_KEPT, CELL_KEPT)

    def start(self, batch: int, like: Tensor) -> LSTMState:
        """The state before the first step: zeros, with the device and type of `like`."""
        return LSTMState(like.new_zeros(batch, self.hidden), like.new_zeros(batch, self.hidden))

    def recurring(self) -> tuple[RecurringLinear, ...]:
        """One product a step, over [context; hidden]; its bias is hoisted with the other."""
        renew(self)
        weights: Tensor = self.weight_hh
        if self.context_dim:  # without one there is nothing to copy at every free-running step
            weights = torch.cat([self.weight_ih[:, self.input_dim :], weights], dim=1)
        return (RecurringLinear(weights, None),)

    def four_gates(self) -> FourGates:
        """Input, forget, cell, output."""
        inputs, context = self.weight_ih.split([self.input_dim, self.context_dim], 1)
        return FourGates(inputs, torch.cat([context, self.weight_hh], 1), self._hoisted_bias())

    def _hoisted_bias(self) -> Tensor:
        return self.bias_ih + self.bias_hh

    def forward(
        self,
        gates: Tensor,
        context: Tensor,
        state: State,
        recurring: tuple[RecurringLinear, ...],
        drawn: Tensor | None = None,
    ) -> LSTMState:
        """One step: gates (batch, 4 * hidden) from `hoist`, context, the state before it."""
        assert isinstance(state, LSTMState)
        total = recurring[0](torch.cat([context, state.hidden], dim=-1), gates)
        i, f, g, o = total.chunk(4, dim=-1)
        cell = torch.sigmoid(f) * state.cell + torch.sigmoid(i) * torch.tanh(g)
        hidden, drawn = torch.sigmoid(o) * torch.tanh(cell), self._drawn(drawn, cell)
        hidden = self._drop(self._zone(state.hidden, hidden, drawn, HIDDEN_KEPT), drawn)
        return LSTMState(hidden, self._zone(state.cell, cell, drawn, CELL_KEPT))


class SplitGRU(SplitCell):
    """The GRU cell, cut in two; gates in the order reset, update, new."""

    gates = 3
    kind = "gru"
    zoned = (HIDDEN_KEPT,)

    def start(self, batch: int, like: Tensor) -> GRUState:
        """The state before the first step: zeros, with the device and type of `like`."""
        return GRUState(like.new_zeros(batch, self.hidden))

    def recurring(self) -> tuple[RecurringLinear, ...]:
        """Two products a step: the new gate keeps what context and hidden state give apart."""
        renew(self)
        context = self.weight_ih[:, self.input_dim :]
        return RecurringLinear(context, None), RecurringLinear(self.weight_hh, self.bias_hh)

    def four_gates(self) -> FourGates:
        """Reset, update, and the new gate in two: what inputs and context give, and the state."""
        no_new = (0, 0, 0, self.hidden)
        inputs, context = F.pad(self.weight_ih, no_new).split([self.input_dim, self.context_dim], 1)
        recurring = torch.cat([context, _new_apart(self.weight_hh)], 1)
        bias = F.pad(self.bias_ih, (0, self.hidden)) + _new_apart(self.bias_hh)
        return FourGates(inputs, recurring, bias)

    def forward(
        self,
        gates: Tensor,
        context: Tensor,
        state: State,
        recurring: tuple[RecurringLinear, ...],
        drawn: Tensor | None = None,
    ) -> GRUState:
        """One step: gates (batch, 3 * hidden) from `hoist`, context, the state before it."""
        if self.context_dim:
            gates = recurring[0](context, gates)
        from_hidden = recurring[1](state.hidden)
        reset, update, new = gates.chunk(3, dim=-1)
        h_reset, h_update, h_new = from_hidden.chunk(3, dim=-1)
        candidate = torch.tanh(new + torch.sigmoid(reset + h_reset) * h_new)
        share = torch.sigmoid(update + h_update).to(state.hidden.dtype)
        hidden = torch.lerp(candidate.to(state.hidden.dtype), state.hidden, share)
        drawn = self._drawn(drawn, hidden)
        return GRUState(self._drop(self._zone(state.hidden, hidden, drawn, HIDDEN_KEPT), drawn))


def _new_apart(three: Tensor) -> Tensor:
    """Rows of reset, update and new gate with zeros before the new gate's."""
    reset, update, new = three.chunk(3)
    return torch.cat([reset, update, torch.zeros_like(new), new])


CELLS: dict[str, type[SplitCell]] = {"lstm": SplitLSTM, "gru": SplitGRU}
