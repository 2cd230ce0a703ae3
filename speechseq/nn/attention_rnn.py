"""The attention RNN: an RNN that queries an attention and reads its context one step later.

The mathematics is in `AttentionRNN.step` and `step_by_step`. `AttentionRNN.forward` runs a faster
backend instead where `attention_rnn_fast` has one.
"""

from collections.abc import Sequence as Series
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from speechseq.arguments import checked_lengths, checked_memory
from speechseq.errors import ConfigError
from speechseq.nn import attention_rnn_fast
from speechseq.nn.attention.contract import Attention
from speechseq.nn.cells import SplitCell, State
from speechseq.nn.masks import length_mask, zero_padding
from speechseq.ops.deferred_linear import DeferredGradLinear
from speechseq.shapes import Alignment, Hidden, Lengths, Memory, MemoryMask, Sequence


class AttentionRNNState(NamedTuple):
    """State of an `AttentionRNN` between two steps, from `start` or `step`.

    Attributes:
        rnn: states of the RNN's layers, `LSTMState` or `GRUState`, from the bottom.
        attention: state of the attention mechanism.
        context: (batch, memory_dim), which the next step reads.
    """

    rnn: tuple[State, ...]
    attention: Any
    context: Tensor

    @property
    def hidden(self) -> Tensor:
        """Hidden state (batch, hidden) of the top layer, which queries the attention."""
        return self.rnn[-1].hidden


class StepWeights(NamedTuple):
    """Weights that all steps of an `AttentionRNN` share: result of `prepare`, argument of `step`.

    Attributes:
        products: for each layer from the bottom, the linear layers that run at every step.
        biases: (1, gates · hidden), biases of each layer above the bottom one, whose own bias is
            already in the result of `SplitCell.hoist`.
    """

    products: tuple[tuple[DeferredGradLinear, ...], ...]
    biases: tuple[Tensor, ...]


class AttentionRNNOutput(NamedTuple):
    """Outputs of all steps of an `AttentionRNN`.

    Attributes:
        hidden: (batch, steps, hidden), hidden states of the top layer.
        context: (batch, steps, memory_dim), means of the memory, weighted by the alignment.
        alignment: (batch, steps, positions), attention weights.
    """

    hidden: Hidden
    context: Sequence
    alignment: Alignment


class AttentionRNN(nn.Module):
    """RNN that queries an attention mechanism, whose context is an input of the next step.

    In training, call it with the inputs of all steps (`forward`). In synthesis or a search, call
    `prepare` and `start` once and then `step` for each step. Everything that does not feed back
    into this loop (pre-net, the input half of the gates, keys, the decoder stack, projections) is
    computed outside of it, over the whole sequence at once. The result is the same, and a step has
    less work.

    Args:
        cell: bottom layer of the RNN; its `context_dim` is the width of the memory.
        attention: mechanism, queried with the new hidden state of the top layer: an `Attention`, or
            any module with its two methods, `start` and `forward`.
        upper: further layers, if there are several (Listen, Attend and Spell); the context input of
            each is the hidden state of the layer below, and it has no other inputs.
    """

    def __init__(
        self, cell: SplitCell, attention: nn.Module, upper: Series[SplitCell] = ()
    ) -> None:
        super().__init__()
        self.cell, self.attention = cell, cast(Attention, attention)
        self.upper = nn.ModuleList(upper)

    @property
    def cells(self) -> list[SplitCell]:
        """Return all layers of the RNN, from the bottom."""
        return [self.cell, *(cell for cell in self.upper if isinstance(cell, SplitCell))]

    def prepare(self) -> StepWeights:
        """Return the weights that all steps share; call it once per utterance or batch."""
        upper = self.cells[1:]
        return StepWeights(
            tuple(cell.step_weights() for cell in self.cells),
            tuple(cell.hoist(cell.weight_hh.new_empty(1, 0)) for cell in upper),
        )

    def start(self, memory: Memory, memory_mask: MemoryMask) -> AttentionRNNState:
        """Return the state before the first step: zeros, and the start state of the attention.

        Args:
            memory: (batch, positions, memory_dim), output of the encoder.
            memory_mask: (batch, positions), True = valid.
        """
        memory = checked_memory(memory, memory_mask, self.cell.context_dim)
        attention = self.attention.start(memory, memory_mask)
        context = memory.new_zeros(memory.shape[0], memory.shape[2])
        states = tuple(cell.start(memory.shape[0], memory) for cell in self.cells)
        return AttentionRNNState(states, attention, context)

    def step(
        self,
        gates: Tensor,
        state: AttentionRNNState,
        weights: StepWeights,
        dropout_bits: Series[Tensor | None] | None = None,
    ) -> tuple[Tensor, AttentionRNNState]:
        """Run one step; return the attention weights (batch, positions) and the next state.

        Args:
            gates: (batch, gates), result of the bottom cell's `hoist`: the part of its gates that
                the inputs of the step determine.
            state: state after the previous step.
            weights: result of `prepare`.
            dropout_bits: for each layer, the `recurrent_dropout_bits` of the step (batch, hidden);
                None draws them here.
        """
        layer_input, rnn = state.context, []
        dropout_bits = dropout_bits or [None] * len(state.rnn)
        cells = zip(self.cells, state.rnn, weights.products, dropout_bits, strict=True)
        for layer, (cell, before, products, bits) in enumerate(cells):
            if layer:
                gates = weights.biases[layer - 1].expand(len(layer_input), -1)
            rnn.append(cell(gates, layer_input, before, products, bits))
            layer_input = rnn[-1].hidden
        context, read, attention = self.attention(layer_input, state.attention)
        return read, AttentionRNNState(tuple(rnn), attention, context)

    def forward(
        self,
        inputs: Sequence,
        memory: Memory,
        memory_mask: MemoryMask,
        lengths: Lengths | None = None,
    ) -> AttentionRNNOutput:
        """Run all steps, teacher-forced: the inputs of all steps are known beforehand.

        Args:
            inputs: (batch, steps, input_dim).
            memory: (batch, positions, memory_dim), output of the encoder.
            memory_mask: (batch, positions), True = valid.
            lengths: (batch), number of steps of each row, by default all. The outputs after a row's
                last step are zeros.

        Raises:
            ConfigError: inputs and memory differ in batch size, or the memory has another width.
        """
        batch, steps = inputs.shape[:2]
        if lengths is None:
            lengths = torch.full((batch,), steps, device=inputs.device)
        lengths = checked_lengths(lengths, inputs.shape)
        memory = checked_memory(memory, memory_mask, self.cell.context_dim)
        if len(inputs) != len(memory):
            raise ConfigError(f"inputs: {len(inputs)} rows for the memories of {len(memory)}")
        bits = [cell.recurrent_dropout_bits(steps, batch, inputs.device) for cell in self.cells]
        parts = self.cells, self.attention, self.step_by_step
        run = attention_rnn_fast.choose(self, *parts, inputs, memory, memory_mask)
        return AttentionRNNOutput(*run(inputs, memory, memory_mask, lengths, bits))

    def step_by_step(
        self,
        inputs: Sequence,
        memory: Memory,
        memory_mask: MemoryMask,
        lengths: Lengths,
        dropout_bits: Series[Tensor | None],
    ) -> AttentionRNNOutput:
        """Compute `forward` in plain torch operations, for any mechanism and device.

        Args:
            inputs: (batch, steps, input_dim).
            memory: (batch, positions, memory_dim), output of the encoder.
            memory_mask: (batch, positions), True = valid.
            lengths: (batch), number of steps of each row.
            dropout_bits: for each layer, the `recurrent_dropout_bits` of all steps (steps, batch,
                hidden), or None.
        """
        gates, weights = self.cell.hoist(inputs), self.prepare()
        state = self.start(memory, memory_mask)
        hidden, context, alignment = [], [], []
        for t, gates_of_step in enumerate(gates.unbind(1)):
            bits = [None if x is None else x[t] for x in dropout_bits]
            read, state = self.step(gates_of_step, state, weights, bits)
            hidden.append(state.hidden)
            context.append(state.context)
            alignment.append(read)
        mask = length_mask(lengths, inputs.shape[1])
        parts = (torch.stack(x, dim=1) for x in (hidden, context, alignment))
        return AttentionRNNOutput(*(zero_padding(x, mask) for x in parts))
