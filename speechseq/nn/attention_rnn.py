"""What must run step by step: the attention RNN and the attention, and nothing else."""

import functools
from collections.abc import Callable
from collections.abc import Sequence as Series
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.arguments import checked_lengths, checked_memory
from speechseq.eager import has_memory
from speechseq.errors import ConfigError
from speechseq.nn import attention_rnn_cpp as core_kernel
from speechseq.nn.attention.contract import Attention
from speechseq.nn.cells import SplitCell, State
from speechseq.nn.masks import length_mask, zero_padding
from speechseq.ops.cuda_graph import Graphs, graphs_of
from speechseq.ops.deferred_linear import DeferredGradLinear
from speechseq.ops.triton.launch import launches
from speechseq.shapes import Alignment, Hidden, Lengths, Memory, MemoryMask, Sequence

BUCKET_STEPS, BUCKET_POSITIONS = 64, 32  # a CUDA graph serves all lengths up to a multiple of these


class AttentionRNNState(NamedTuple):
    """Between two steps: the RNNs' states from the bottom, the attention's state, and the context
    last read."""

    rnn: tuple[State, ...]
    attention: Any
    context: Tensor

    @property
    def hidden(self) -> Tensor:
        """What asked the attention: the top RNN's hidden state (batch, hidden)."""
        return self.rnn[-1].hidden


class StepWeights(NamedTuple):
    """What a loop's steps share: each cell's products, and the gates' biases of the upper cells."""

    products: tuple[tuple[DeferredGradLinear, ...], ...]
    biases: tuple[Tensor, ...]


class AttentionRNNOutput(NamedTuple):
    """Of all steps: hidden (batch, steps, hidden), context (batch, steps, memory_dim), alignment
    (batch, steps, positions)."""

    hidden: Hidden
    context: Sequence
    alignment: Alignment


class AttentionRNN(nn.Module):
    """An RNN that asks, an attention that answers; the answer is the RNN's input one step later.

    Everything that does not feed back into this loop (pre-net, the input half of the gates, keys,
    the decoder stack, projections) is run over the whole sequence outside of it: the same
    mathematics, less work a step.

    Args:
        cell: the attention RNN, its `context_dim` the memory's width.
        attention: the mechanism, asked with the top cell's new hidden state.
        upper: further cells where the top of several layers asks (Listen, Attend and Spell); each
            has no inputs known beforehand, and the hidden state below it as its context.
    """

    def __init__(
        self, cell: SplitCell, attention: Attention, upper: Series[SplitCell] = ()
    ) -> None:
        super().__init__()
        self.cell, self.attention = cell, attention
        self.upper = nn.ModuleList(upper)

    @property
    def cells(self) -> list[SplitCell]:
        """All cells from the bottom."""
        return [self.cell, *(cell for cell in self.upper if isinstance(cell, SplitCell))]

    def prepare(self) -> StepWeights:
        """What every step needs, made once for an utterance or a batch."""
        upper = self.cells[1:]
        return StepWeights(
            tuple(cell.step_weights() for cell in self.cells),
            tuple(cell.hoist(cell.weight_hh.new_empty(1, 0)) for cell in upper),
        )

    def start(self, memory: Memory, memory_mask: MemoryMask) -> AttentionRNNState:
        """The state before the first step: nothing remembered, nothing read."""
        memory = checked_memory(memory, memory_mask, self.cell.context_dim)
        attention = self.attention.start(memory, memory_mask)
        context = memory.new_zeros(memory.shape[0], memory.shape[2])
        states = tuple(cell.start(memory.shape[0], memory) for cell in self.cells)
        return AttentionRNNState(states, attention, context)

    def step(
        self,
        gates: Tensor,
        state: AttentionRNNState,
        ready: StepWeights,
        drawn: Series[Tensor | None] | None = None,
    ) -> tuple[Tensor, AttentionRNNState]:
        """One step from hoisted gates (batch, gates): the weights read, and the next state.

        `drawn` are each cell's `recurrent_dropout_bits` of the step, drawn here if missing.
        """
        below, rnn = state.context, []
        drawn = drawn or [None] * len(state.rnn)
        cells = zip(self.cells, state.rnn, ready.products, drawn, strict=True)
        for layer, (cell, before, products, chance) in enumerate(cells):
            if layer:
                gates = ready.biases[layer - 1].expand(len(below), -1)
            rnn.append(cell(gates, below, before, products, chance))
            below = rnn[-1].hidden
        context, weights, attention = self.attention(below, state.attention)
        return weights, AttentionRNNState(tuple(rnn), attention, context)

    def forward(
        self,
        inputs: Sequence,
        memory: Memory,
        memory_mask: MemoryMask,
        lengths: Lengths | None = None,
    ) -> AttentionRNNOutput:
        """All steps of known inputs (batch, steps, input_dim), teacher-forced.

        `lengths` are the steps of each row, all where they are missing; zeros come out behind them.
        """
        batch, steps = inputs.shape[:2]
        if lengths is None:
            lengths = torch.full((batch,), steps, device=inputs.device)
        lengths = checked_lengths(lengths, inputs.shape)
        memory = checked_memory(memory, memory_mask, self.cell.context_dim)
        if len(inputs) != len(memory):
            raise ConfigError(f"inputs: {len(inputs)} rows for the memories of {len(memory)}")
        drawn = [cell.recurrent_dropout_bits(steps, batch, inputs.device) for cell in self.cells]
        if has_memory(memory) and core_kernel.fits(self.cells, self.attention, inputs, memory_mask):
            parts = self.cells, self.attention, inputs, memory, memory_mask, lengths, drawn
            return AttentionRNNOutput(*core_kernel.run(*parts))
        graphs = graphs_of(self, inputs.device)
        if graphs is not None:
            return self._from_graph(graphs, inputs, memory, memory_mask, lengths, drawn)
        return self.step_by_step(inputs, memory, memory_mask, lengths, drawn)

    def step_by_step(
        self,
        inputs: Sequence,
        memory: Memory,
        memory_mask: MemoryMask,
        lengths: Lengths,
        drawn: Series[Tensor | None],
    ) -> AttentionRNNOutput:
        """The same in plain torch operations, for any mechanism and machine."""
        all_gates = self.cell.hoist(inputs)
        ready = self.prepare()
        state = self.start(memory, memory_mask)
        hidden, context, alignment = [], [], []
        for t, gates in enumerate(all_gates.unbind(1)):
            chance = [None if x is None else x[t] for x in drawn]
            weights, state = self.step(gates, state, ready, chance)
            hidden.append(state.hidden)
            context.append(state.context)
            alignment.append(weights)
        mask = length_mask(lengths, inputs.shape[1])
        parts = (torch.stack(x, dim=1) for x in (hidden, context, alignment))
        return AttentionRNNOutput(*(zero_padding(x, mask) for x in parts))

    def _from_graph(
        self,
        graphs: Graphs,
        inputs: Sequence,
        memory: Memory,
        memory_mask: MemoryMask,
        lengths: Lengths,
        drawn: Series[Tensor | None],
    ) -> AttentionRNNOutput:
        """The same from a CUDA graph, padded to the next lengths that one is recorded for."""
        steps, positions = inputs.shape[1], memory.shape[1]
        more, wider = -steps % BUCKET_STEPS, -positions % BUCKET_POSITIONS
        arguments = (
            F.pad(inputs, (0, 0, 0, more)),
            F.pad(memory, (0, 0, 0, wider)),
            F.pad(memory_mask, (0, wider)),
            lengths,
            tuple(None if x is None else F.pad(x, (0, 0, 0, 0, 0, more)) for x in drawn),
        )
        number = core_kernel.known_number(self.cells, self.attention, inputs, inputs.device.type)
        way: Callable[..., tuple[Tensor, Tensor, Tensor]] = self.step_by_step
        if number is not None and launches(inputs.device):
            from speechseq.nn.attention_rnn_triton import launched  # Triton is not everywhere

            way = functools.partial(launched, self.cells, self.attention, number)
        key = self.training, self.attention.reading, way == self.step_by_step
        hidden, context, alignment = graphs(way, arguments, tuple(self.parameters()), key)
        return AttentionRNNOutput(
            hidden[:, :steps], context[:, :steps], alignment[:, :steps, :positions]
        )
