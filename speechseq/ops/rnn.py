"""LSTM and GRU over whole unpadded sequences, with one C++ call per pass."""

from collections.abc import Sequence as Series
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from speechseq.eager import has_memory
from speechseq.ops.autograd import saved_tensors
from speechseq.ops.cpp.library import call, library
from speechseq.ops.dropout import NO_DROPOUT, RecurrentDropout
from speechseq.ops.linear import linear, weight_grad
from speechseq.ops.varlen import Rows, RowsOut, Varlen

Kind = Literal["lstm", "gru"]


class Weights(NamedTuple):
    """Weights of one direction of an RNN, named and shaped as in nn.LSTMCell and nn.GRUCell.

    `gates` is 4 for an LSTM (input, forget, cell, output) and 3 for a GRU (reset, update, new).

    Attributes:
        weight_ih: (gates * hidden, input_dim), weight of the inputs.
        weight_hh: (gates * hidden, hidden), weight of the hidden state.
        bias_ih: (gates * hidden), bias of the inputs.
        bias_hh: (gates * hidden), bias of the hidden state.
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor
    bias_hh: Tensor


def supported(kind: Kind, x: Tensor, weights: Weights) -> bool:
    """Return True if a C++ kernel takes these tensors: float32 or bfloat16 on a CPU.

    Args:
        kind: "lstm" or "gru".
        x: (rows, input_dim), inputs.
        weights: of one direction.
    """
    if not has_memory(x, *weights) or x.device.type != "cpu":
        return False
    known = (torch.float32, torch.bfloat16)
    types_known = x.dtype in known and weights.weight_hh.dtype in known
    return types_known and library(kind) is not None


def run_lstm(
    x: Rows, rows: Varlen, directions: Series[Weights], dropout: RecurrentDropout = NO_DROPOUT
) -> RowsOut:
    """Run an LSTM over each utterance of an unpadded batch, from zero states.

    Under autocast, matrix products run in autocast's dtype; sums, cells and gate functions run in
    float32.

    Args:
        x: (rows, input_dim), valid frames of all utterances, one after another, without padding.
        rows: layout of the batch, which tells the utterance of each row.
        directions: weights of one or two directions; the second runs backwards, from the last frame
            of each utterance.
        dropout: dropout and zoneout of the states, only for one direction.

    Returns:
        Hidden states of each frame, (rows, directions * hidden).
    """
    frames = _Frames.of(rows)
    bias = torch.cat([own.bias_ih + own.bias_hh for own in directions])
    gates = linear(x, torch.cat([own.weight_ih for own in directions]), bias)
    recurrent = torch.stack([own.weight_hh for own in directions]).to(gates.dtype)
    return _LSTM.apply(gates, recurrent, frames, _of_rows(dropout, rows))


def run_gru(
    x: Rows, rows: Varlen, directions: Series[Weights], dropout: RecurrentDropout = NO_DROPOUT
) -> RowsOut:
    """Run a GRU over each utterance of an unpadded batch, from zero states.

    Args:
        x: (rows, input_dim), valid frames of all utterances, one after another, without padding.
        rows: layout of the batch, which tells the utterance of each row.
        directions: weights of one or two directions; the second runs backwards, from the last frame
            of each utterance.
        dropout: dropout and zoneout of the states, only for one direction.

    Returns:
        Hidden states of each frame, (rows, directions * hidden).
    """
    frames = _Frames.of(rows)
    bias = torch.cat([own.bias_ih for own in directions])
    gates = linear(x, torch.cat([own.weight_ih for own in directions]), bias)
    recurrent = torch.stack([own.weight_hh for own in directions]).to(gates.dtype)
    biases = torch.stack([own.bias_hh for own in directions]).to(gates.dtype)
    return _GRU.apply(gates, recurrent, biases, frames, _of_rows(dropout, rows))


RUN = {"lstm": run_lstm, "gru": run_gru}


def _of_rows(dropout: RecurrentDropout, rows: Varlen) -> RecurrentDropout:
    if dropout.bits is None:
        return dropout
    return dropout._replace(bits=dropout.bits[rows.positions % rows.shape[1], rows.item])


class _Frames(NamedTuple):
    """First row and number of rows of each utterance, the longest first."""

    starts: Tensor
    lengths: Tensor

    @staticmethod
    def of(rows: Varlen) -> "_Frames":
        starts = rows.lengths.cumsum(0) - rows.lengths
        lengths, order = rows.lengths.sort(descending=True, stable=True)
        return _Frames(starts[order], lengths)

    def before(self, hidden: Tensor) -> Tensor:
        """Initial hidden state of each frame's step: (frames, directions, hidden) to the same."""
        before = torch.empty_like(hidden)
        not_empty = self.lengths > 0
        first = self.starts[not_empty]
        before[1:, 0] = hidden[:-1, 0]
        before[first, 0] = 0
        if hidden.shape[1] == 2:
            before[:-1, 1] = hidden[1:, 1]
            before[first + self.lengths[not_empty] - 1, 1] = 0
        return before


class _LSTM(torch.autograd.Function):
    """The steps of all directions. Activations overwrite the gates in place; only they and the
    cells are saved, since the op that computed the gates does not need them any more. The last
    backward pass overwrites the same memory with the gates' gradient."""

    @staticmethod
    def forward(
        ctx: Any, gates: Tensor, recurrent: Tensor, frames: _Frames, dropout: RecurrentDropout
    ) -> Tensor:
        directions, _, size = recurrent.shape
        hidden = gates.new_empty(len(gates), directions * size)
        cells = gates.new_empty(len(gates), directions * size, dtype=torch.float32)
        if len(gates):
            _call("lstm_forward", (gates, recurrent, hidden, cells), frames, dropout, recurrent)
        ctx.frames, ctx.dropout = frames, dropout._replace(bits=None)
        ctx.save_for_backward(gates, recurrent, hidden, cells, dropout.bits)
        return hidden

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (gates, recurrent, hidden, cells, bits), last = saved_tensors(ctx)
        grad_hidden = gradients[0].contiguous()
        grad_gates = gates if last else torch.empty_like(gates)
        if len(gates):
            tensors, dropout = (gates, recurrent, cells, grad_hidden, grad_gates), ctx.dropout
            _call("lstm_backward", tensors, ctx.frames, dropout._replace(bits=bits), recurrent)
        return grad_gates, _weight_gradient(grad_gates, hidden, recurrent, ctx.frames), None, None


class _GRU(torch.autograd.Function):
    """Like `_LSTM`; also saves the recurrent part of the new gates."""

    @staticmethod
    def forward(
        ctx: Any,
        gates: Tensor,
        recurrent: Tensor,
        biases: Tensor,
        frames: _Frames,
        dropout: RecurrentDropout,
    ) -> Tensor:
        directions, _, size = recurrent.shape
        hidden = gates.new_empty(len(gates), directions * size)
        new_products = torch.empty_like(hidden)
        if len(gates):
            tensors = (gates, recurrent, biases, hidden, new_products)
            _call("gru_forward", tensors, frames, dropout, recurrent)
        ctx.frames, ctx.dropout = frames, dropout._replace(bits=None)
        ctx.save_for_backward(gates, recurrent, hidden, new_products, dropout.bits)
        return hidden

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        (gates, recurrent, hidden, new_products, bits), last = saved_tensors(ctx)
        grad_hidden, grad_products = gradients[0].contiguous(), torch.empty_like(gates)
        grad_gates = gates if last else torch.empty_like(gates)
        if len(gates):
            grads = (grad_hidden, grad_gates, grad_products)
            tensors = (gates, recurrent, hidden, new_products, *grads)
            dropout = ctx.dropout._replace(bits=bits)
            _call("gru_backward", tensors, ctx.frames, dropout, recurrent)
        weight = _weight_gradient(grad_products, hidden, recurrent, ctx.frames)
        bias = grad_products.sum(0).unflatten(0, recurrent.shape[:2])
        return grad_gates, weight, bias, None, None


def _weight_gradient(
    grad_gates: Tensor, hidden: Tensor, recurrent: Tensor, frames: _Frames
) -> Tensor:
    directions, _, size = recurrent.shape
    before = frames.before(hidden.unflatten(1, (directions, size)))
    each = zip(grad_gates.chunk(directions, dim=1), before.unbind(1), strict=True)
    return torch.stack([weight_grad(grad, state) for grad, state in each])


def _call(
    name: str,
    tensors: tuple[Tensor, ...],
    frames: _Frames,
    dropout: RecurrentDropout,
    recurrent: Tensor,
) -> None:
    kind, number = name.split("_")[0], str(recurrent.dtype).removeprefix("torch.")
    directions, _, size = recurrent.shape
    numbers = (len(frames.lengths), size, directions)
    reads = (*tensors, frames.starts, frames.lengths, dropout.bits)
    call(kind, f"{name}_{number}", *reads, *numbers, dropout.scale, dropout.zoneout)
