"""Layers of the frame decoder in Triton (experimental): one launch each, three for attention."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from speechseq.nn.attention.content import ContentAttention, ContentState
from speechseq.nn.attention.location_sensitive import LocationSensitiveAttention, LocationState
from speechseq.nn.cells import GRUState, LSTMState, SplitCell, State
from speechseq.ops.triton import decoder_step as step_kernels
from speechseq.ops.triton.launch import cdiv, next_power_of_2

PROGRAMS = 256  # of a product: two for each multiprocessor of a large GPU
FEW, MANY = 4, 32  # rows that are multiplied place by place, and those of a program at most
LEAST = 16  # sides of a matrix product
TILE, CHUNK = 8192, 1024  # numbers that a program has in hand at most, and of one output
PLACES, COLUMNS = 8, 32  # positions whose energies, and columns whose context a program makes


class _Tiles(NamedTuple):
    """Work of one program of a product: rows, inputs at a time, and whether as a matrix product."""

    rows: int
    chunk: int
    matrix: bool


def _tiles(batch: int, outputs: int) -> _Tiles:
    if batch > FEW:
        return _Tiles(min(max(next_power_of_2(batch), LEAST), MANY), 4 * LEAST, True)
    rows = next_power_of_2(batch)
    return _Tiles(rows, min(TILE // (rows * outputs), CHUNK), False)


def _whole(x: Tensor, multiple: int) -> Tensor:
    """Padded with zeros along the first axis, up to a multiple."""
    more = -len(x) % multiple
    return F.pad(x, (*(0, 0) * (x.dim() - 1), 0, more)) if more else x.contiguous()


class TritonLinear:
    """Linear layer [x; y] · weight + bias in one launch, with optional ReLU and dropout.

    A callable for inference on a GPU, not a module. The weights are copied when it is built.

    Args:
        weight: (outputs, inputs), converted to `dtype`.
        bias: (outputs), or None.
        dtype: float32 or bfloat16.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        self.outputs = len(weight)
        self.weight = _whole(weight.to(dtype), LEAST)
        self.bias = None if bias is None else _whole(bias, LEAST)

    def __call__(
        self,
        x: Tensor,
        y: Tensor | None = None,
        *,
        relu: bool = False,
        keep: Tensor | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        """Map rows [x; y] to outputs (batch, outputs).

        The last axis of every tensor has to be contiguous.

        Args:
            x: (batch, x), first part of the inputs.
            y: (batch, y), second part of the inputs; None if x is all of them.
            relu: apply a ReLU.
            keep: dropout multipliers (batch, outputs), or None.
            out: (batch, outputs), tensor to write the result to; None for a new one.
        """
        batch, aside = len(x), x if y is None else y
        out = x.new_empty(batch, self.outputs) if out is None else out
        few = min(next_power_of_2(max(self.outputs // PROGRAMS, 1)), LEAST)
        outs = few if batch <= FEW else LEAST
        tiles = _tiles(batch, outs)
        grid = (cdiv(self.outputs, outs), cdiv(batch, tiles.rows))
        step_kernels.linear[grid](
            *(x, x.stride(0), aside, aside.stride(0), self.weight),
            x if self.bias is None else self.bias,
            *((x, 0) if keep is None else (keep, keep.stride(0))),
            *(out, out.stride(0), batch),
            X=x.shape[1],
            Y=0 if y is None else y.shape[1],
            OUTPUTS=self.outputs,
            BIASED=self.bias is not None,
            RELU=relu,
            KEPT=keep is not None,
            ROWS=tiles.rows,
            OUTS=outs,
            CHUNK=tiles.chunk,
            MATRIX=tiles.matrix,
        )
        return out


class TritonCell:
    """LSTM or GRU with one Triton launch per step, for inference.

    The weights are ordered by block of units, and inside of a block by gate.

    Args:
        cell: the reference module, whose weights are copied.
        dtype: float32 or bfloat16, of the copied weights.
    """

    def __init__(self, cell: SplitCell, dtype: torch.dtype) -> None:
        self.hidden, self.is_lstm, self.zoneout = cell.hidden, cell.kind == "lstm", cell.zoneout
        self.units = min(max(next_power_of_2(cell.hidden // PROGRAMS), LEAST // 4), LEAST)
        four = cell.four_gates()
        parts = four.inputs.to(dtype), four.recurrent.to(dtype)
        self.weight = self._blocks(torch.cat(parts, 1))
        self.bias = self._blocks(four.bias.unsqueeze(1)).squeeze(1)

    def _blocks(self, gates: Tensor) -> Tensor:
        """(4 · hidden, width) to (blocks · 4 · units, width)."""
        apart = torch.stack([_whole(x, self.units) for x in gates.chunk(4)])
        return apart.unflatten(1, (-1, self.units)).transpose(0, 1).flatten(0, 2)

    def __call__(
        self, x: Tensor, y: Tensor | None, state: State, residual: bool = False
    ) -> tuple[State, Tensor]:
        """Run one step; return the next state, and the output (batch, hidden).

        Args:
            x: (batch, x), first part of the inputs.
            y: (batch, y), second part of the inputs, such as the context; None for none.
            state: the cell's state before the step.
            residual: add x to the output, which otherwise is the hidden state.
        """
        batch, aside, before = len(x), x if y is None else y, state.hidden
        after, inner = torch.empty_like(before), torch.empty_like(before)
        output = torch.empty_like(before) if residual else after
        tiles = _tiles(batch, 4 * self.units)
        grid = (cdiv(self.hidden, self.units), cdiv(batch, tiles.rows))
        step_kernels.cell[grid](
            *(x, x.stride(0), aside, aside.stride(0), self.weight, self.bias, before),
            *(state.cell if isinstance(state, LSTMState) else before, after, inner, output),
            *(batch, self.zoneout),
            X=x.shape[1],
            Y=0 if y is None else y.shape[1],
            HIDDEN=self.hidden,
            LSTM=self.is_lstm,
            PASSED=residual,
            ROWS=tiles.rows,
            UNITS=self.units,
            CHUNK=tiles.chunk,
            MATRIX=tiles.matrix,
            num_warps=8,
        )
        return (LSTMState(after, inner) if self.is_lstm else GRUState(after)), output


class TritonAttention:
    """Additive attention in three Triton launches per step: query, energies, context.

    The location filters and their projection are folded into one matrix.

    Args:
        attention: the reference module, whose weights are read.
        dtype: float32 or bfloat16, of the query's projection.
    """

    def __init__(
        self, attention: LocationSensitiveAttention | ContentAttention, dtype: torch.dtype
    ) -> None:
        self.query = TritonLinear(attention.query.weight, None, dtype)
        self.direction = attention.energy.weight[0]
        self.folded, self.taps = self.direction, 0
        if isinstance(attention, LocationSensitiveAttention):
            self.folded, self.taps = attention.folded(), attention.filters.weight.shape[2]

    def __call__(
        self, hidden: Tensor, state: LocationState | ContentState, valid: Tensor, weights: Tensor
    ) -> tuple[Tensor, LocationState | ContentState]:
        """Run one step; return the context (batch, memory_dim) and the next state.

        Args:
            hidden: (batch, query_dim), hidden state of the RNN that queries the attention.
            state: the mechanism's state before the step.
            valid: (batch, positions), the state's mask in bytes.
            weights: (batch, positions), overwritten with the attention weights.
        """
        return self.read(self.energies(self.query(hidden), state), state, valid, weights)

    def energies(self, query: Tensor, state: LocationState | ContentState) -> Tensor:
        """Compute energies (batch, positions) of `query` (batch, dim) over the keys of `state`."""
        batch, positions, dim = state.keys.shape
        history, channels = _history(state)
        energy = query.new_empty(batch, positions)
        step_kernels.energies[batch, cdiv(positions, PLACES)](
            *(query, state.keys, self.direction, history, channels * positions),
            *(history[:, -1], channels * positions, self.folded, energy, positions),
            DIM=dim,
            WIDE=next_power_of_2(dim),
            CHANNELS=channels,
            TAPS=self.taps,
            PLACES=PLACES,
        )
        return energy

    def read(
        self, energy: Tensor, state: LocationState | ContentState, valid: Tensor, weights: Tensor
    ) -> tuple[Tensor, LocationState | ContentState]:
        """Normalise energies; return the context (batch, memory_dim) and the next state.

        Args:
            energy: (batch, positions).
            state: the mechanism's state before the step, with memory and history.
            valid: (batch, positions), the state's mask in bytes.
            weights: (batch, positions), overwritten with the attention weights.
        """
        batch, positions, dim = state.memory.shape
        history, channels = _history(state)
        context = state.memory.new_empty(batch, dim)
        remembered = torch.empty_like(history) if channels else history
        step_kernels.read[batch, cdiv(dim, COLUMNS)](
            *(energy, valid, state.memory, history, 1.0, weights, weights.stride(0)),
            *(context, dim, remembered, positions),
            DIM=dim,
            CHANNELS=channels,
            ALL=next_power_of_2(positions),
            COLUMNS=COLUMNS,
            PLACES=4 * PLACES,
        )
        if isinstance(state, LocationState):
            return context, state._replace(history=remembered)
        return context, state._replace(previous=weights)


def _history(state: LocationState | ContentState) -> tuple[Tensor, int]:
    """The input of the filters and its channels; a dummy tensor and 0 without filters."""
    if isinstance(state, LocationState):
        return state.history.contiguous(), state.history.shape[1]
    return state.memory, 0
