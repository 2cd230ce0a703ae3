"""Whole sequences through an LSTM or a GRU in one call of a kernel, forward and backward."""

from collections.abc import Sequence as Series
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from speechseq.native.library import call, library
from speechseq.nn.dense import linear, outer_sum
from speechseq.nn.distinct_rows import put_rows, take_rows
from speechseq.nn.masks import length_mask
from speechseq.shapes import Hidden, Lengths, Sequence

Kind = Literal["lstm", "gru"]


class Weights(NamedTuple):
    """Of one direction, as torch's layers and cells name and order them."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor
    bias_hh: Tensor


class Chance(NamedTuple):
    """What acts on the states inside the recurrence, of one direction.

    drawn (steps, batch, hidden): the bits of `SplitCell.draw`, or None where nothing was drawn; the
    multiplier of what dropout leaves; the share of the old states that zoneout keeps without bits.
    """

    drawn: Tensor | None = None
    multiplier: float = 1.0
    zoneout: float = 0.0


NO_CHANCE = Chance()


def kernel_serves(kind: Kind, x: Tensor, weights: Weights) -> bool:
    """Whether the kernel of a kind can run: on the CPU, float32 or bfloat16, with its library."""
    known = (torch.float32, torch.bfloat16)
    types_known = x.dtype in known and weights.weight_hh.dtype in known
    on_cpu = x.device.type == "cpu" and not torch.compiler.is_compiling()
    return on_cpu and types_known and library(kind) is not None


def run_lstm(
    x: Sequence, lengths: Lengths, directions: Series[Weights], chance: Chance = NO_CHANCE
) -> Hidden:
    """(batch, time, input_dim) to (batch, time, directions * hidden), of exact lengths.

    The second direction, where there is one, walks each item from its own last frame. Padding is
    never read and comes out as zeros. Under autocast, products are made in its type; sums, cells
    and gates' functions in float32.
    """
    frames = _Frames.of(lengths, x.shape[1])
    bias = torch.cat([own.bias_ih + own.bias_hh for own in directions])
    gates = linear(frames.pack(x), torch.cat([own.weight_ih for own in directions]), bias)
    recurrent = torch.stack([own.weight_hh for own in directions]).to(gates.dtype)
    return frames.place(_LSTM.apply(gates, recurrent, frames, frames.chance(chance)))


def run_gru(
    x: Sequence, lengths: Lengths, directions: Series[Weights], chance: Chance = NO_CHANCE
) -> Hidden:
    """As `run_lstm`, for GRUs."""
    frames = _Frames.of(lengths, x.shape[1])
    bias = torch.cat([own.bias_ih for own in directions])
    gates = linear(frames.pack(x), torch.cat([own.weight_ih for own in directions]), bias)
    recurrent = torch.stack([own.weight_hh for own in directions]).to(gates.dtype)
    biases = torch.stack([own.bias_hh for own in directions]).to(gates.dtype)
    return frames.place(_GRU.apply(gates, recurrent, biases, frames, frames.chance(chance)))


RUN = {"lstm": run_lstm, "gru": run_gru}


class _Frames(NamedTuple):
    """Where the valid frames of a batch stand, end to end, without padding; the longest item first
    in `starts` and `lengths`. No positions mean that all frames are valid."""

    shape: tuple[int, int]
    starts: Tensor
    lengths: Tensor
    positions: Tensor | None

    @staticmethod
    def of(lengths: Tensor, time: int) -> "_Frames":
        lengths = lengths.to(torch.int64).clamp(max=time)
        starts = lengths.cumsum(0) - lengths
        sorted_lengths, order = lengths.sort(descending=True, stable=True)
        mask = length_mask(lengths, time)
        positions = None if bool(mask.all()) else mask.flatten().nonzero().squeeze(1)
        return _Frames((len(lengths), time), starts[order], sorted_lengths, positions)

    def pack(self, x: Tensor) -> Tensor:
        """(batch, time, channels) to (frames, channels)."""
        x = x.flatten(0, 1)
        return x if self.positions is None else take_rows(x, self.positions)

    def chance(self, chance: Chance) -> Chance:
        """With the bits of the frames alone."""
        if chance.drawn is None:
            return chance
        bits = chance.drawn.transpose(0, 1).flatten(0, 1)
        if self.positions is not None:
            bits = bits.index_select(0, self.positions)
        return chance._replace(drawn=bits)

    def place(self, x: Tensor) -> Tensor:
        """(frames, channels) to (batch, time, channels), zeros in the padding."""
        if self.positions is not None:
            x = put_rows(x, self.positions, self.shape[0] * self.shape[1])
        return x.unflatten(0, self.shape)

    def before(self, hidden: Tensor) -> Tensor:
        """What each frame's step began with: (frames, directions, hidden) to the same."""
        before = torch.empty_like(hidden)
        there = self.lengths > 0
        first = self.starts[there]
        before[1:, 0] = hidden[:-1, 0]
        before[first, 0] = 0
        if hidden.shape[1] == 2:
            before[:-1, 1] = hidden[1:, 1]
            before[first + self.lengths[there] - 1, 1] = 0
        return before


class _LSTM(torch.autograd.Function):
    """The steps of all directions. The gates' room is taken over for their activations, which
    together with the cells are all that is kept: what made the gates has no more need of them."""

    @staticmethod
    def forward(
        ctx: Any, gates: Tensor, recurrent: Tensor, frames: _Frames, chance: Chance
    ) -> Tensor:
        directions, _, size = recurrent.shape
        hidden = gates.new_empty(len(gates), directions * size)
        cells = gates.new_empty(len(gates), directions * size, dtype=torch.float32)
        if len(gates):
            _call("lstm_forward", (gates, recurrent, hidden, cells), frames, chance, recurrent)
        ctx.frames, ctx.chance = frames, chance._replace(drawn=None)
        ctx.save_for_backward(gates, recurrent, hidden, cells, chance.drawn)
        return hidden

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        gates, recurrent, hidden, cells, drawn = ctx.saved_tensors
        above, below = gradients[0].contiguous(), torch.empty_like(gates)
        if len(gates):
            tensors, chance = (gates, recurrent, cells, above, below), ctx.chance
            _call("lstm_backward", tensors, ctx.frames, chance._replace(drawn=drawn), recurrent)
        return below, _weight_gradient(below, hidden, recurrent, ctx.frames), None, None


class _GRU(torch.autograd.Function):
    """As `_LSTM`; beside the activations it keeps what the states gave the new gates."""

    @staticmethod
    def forward(
        ctx: Any,
        gates: Tensor,
        recurrent: Tensor,
        biases: Tensor,
        frames: _Frames,
        chance: Chance,
    ) -> Tensor:
        directions, _, size = recurrent.shape
        hidden = gates.new_empty(len(gates), directions * size)
        apart = torch.empty_like(hidden)
        if len(gates):
            tensors = (gates, recurrent, biases, hidden, apart)
            _call("gru_forward", tensors, frames, chance, recurrent)
        ctx.frames, ctx.chance = frames, chance._replace(drawn=None)
        ctx.save_for_backward(gates, recurrent, hidden, apart, chance.drawn)
        return hidden

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        gates, recurrent, hidden, apart, drawn = ctx.saved_tensors
        above = gradients[0].contiguous()
        below, beside = torch.empty_like(gates), torch.empty_like(gates)
        if len(gates):
            tensors = (gates, recurrent, hidden, apart, above, below, beside)
            chance = ctx.chance._replace(drawn=drawn)
            _call("gru_backward", tensors, ctx.frames, chance, recurrent)
        weight = _weight_gradient(beside, hidden, recurrent, ctx.frames)
        return below, weight, beside.sum(0).unflatten(0, recurrent.shape[:2]), None, None


def _weight_gradient(below: Tensor, hidden: Tensor, recurrent: Tensor, frames: _Frames) -> Tensor:
    directions, _, size = recurrent.shape
    before = frames.before(hidden.unflatten(1, (directions, size)))
    each = zip(below.chunk(directions, dim=1), before.unbind(1), strict=True)
    return torch.stack([outer_sum(to, start) for to, start in each])


def _call(
    name: str, tensors: tuple[Tensor, ...], frames: _Frames, chance: Chance, recurrent: Tensor
) -> None:
    kind, number = name.split("_")[0], str(recurrent.dtype).removeprefix("torch.")
    directions, _, size = recurrent.shape
    numbers = (len(frames.lengths), size, directions)
    reads = (*tensors, frames.starts, frames.lengths, chance.drawn)
    call(kind, f"{name}_{number}", *reads, *numbers, chance.multiplier, chance.zoneout)
