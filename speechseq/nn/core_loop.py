"""What must run step by step: the attention RNN and the attention, and nothing else."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from speechseq.nn.attention.contract import Attention
from speechseq.nn.cells import SplitCell, State
from speechseq.nn.recurring_linear import RecurringLinear
from speechseq.shapes import Alignment, Hidden, Memory, MemoryMask, Sequence


class CoreState(NamedTuple):
    """Between two steps: the RNN's state, the attention's state, and the context last read."""

    rnn: State
    attention: Any
    context: Tensor


class CoreOutput(NamedTuple):
    """Of all steps: hidden (batch, steps, hidden), context (batch, steps, memory_dim), alignment
    (batch, steps, positions)."""

    hidden: Hidden
    context: Sequence
    alignment: Alignment


class CoreLoop(nn.Module):
    """An RNN that asks, an attention that answers; the answer is the RNN's input one step later.

    Everything that does not feed back into this loop (pre-net, the input half of the gates, keys,
    the decoder stack, projections) is run over the whole sequence outside of it: the same
    mathematics, less work a step.

    Args:
        cell: the attention RNN, its `context_dim` the memory's width.
        attention: the mechanism, asked with the cell's new hidden state.
    """

    def __init__(self, cell: SplitCell, attention: Attention) -> None:
        super().__init__()
        self.cell, self.attention = cell, attention

    def start(self, memory: Memory, memory_mask: MemoryMask) -> CoreState:
        """The state before the first step: nothing remembered, nothing read."""
        attention = self.attention.start(memory, memory_mask)
        context = memory.new_zeros(memory.shape[0], memory.shape[2])
        return CoreState(self.cell.start(memory.shape[0], memory), attention, context)

    def step(
        self, gates: Tensor, state: CoreState, recurring: tuple[RecurringLinear, ...]
    ) -> tuple[Tensor, CoreState]:
        """One step from hoisted gates (batch, gates): the weights read, and the next state."""
        rnn = self.cell(gates, state.context, state.rnn, recurring)
        context, weights, attention = self.attention(rnn.hidden, state.attention)
        return weights, CoreState(rnn, attention, context)

    def forward(self, inputs: Sequence, memory: Memory, memory_mask: MemoryMask) -> CoreOutput:
        """All steps of known inputs (batch, steps, input_dim), teacher-forced."""
        all_gates = self.cell.hoist(inputs)
        recurring = self.cell.recurring()
        state = self.start(memory, memory_mask)
        hidden, context, alignment = [], [], []
        for gates in all_gates.unbind(1):
            weights, state = self.step(gates, state, recurring)
            hidden.append(state.rnn.hidden)
            context.append(state.context)
            alignment.append(weights)
        return CoreOutput(*(torch.stack(x, dim=1) for x in (hidden, context, alignment)))
