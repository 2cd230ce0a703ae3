"""Both passes of the core loop's kernel as one function of autograd; time comes first in here."""

from collections.abc import Sequence as Series
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from speechseq.native.library import call
from speechseq.nn.dense import outer_sum

NAME = "core_loop"


class Fixed(NamedTuple):
    """What a run needs beside its differentiable tensors.

    lengths (batch), first (batch, positions): the weights before all steps; a layer's `drawn` is
    (steps, batch, hidden) or None, its `rates` are (multiplier of dropout, share of zoneout).
    """

    lengths: Tensor
    first: Tensor
    sharpening: float
    through_previous: bool
    histories: int
    kernel: int
    lstm: tuple[bool, ...]
    drawn: tuple[Tensor | None, ...]
    rates: Tensor


class Given(NamedTuple):
    """What is differentiable beside the hoisted gates.

    keys (batch, positions, dim), memory (batch, positions, memory_dim), the mechanism's query (dim,
    hidden) and direction (dim), a location-sensitive one's filters (filters, histories, kernel) and
    location (dim, filters); weights (4 * hidden, inputs + hidden) and biases of each layer.
    """

    keys: Tensor
    memory: Tensor
    query: Tensor
    direction: Tensor
    filters: Tensor | None
    location: Tensor | None
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]


def _given(flat: Series[Any], layers: int) -> Given:
    keys, memory, query, direction, filters, location, *rest = flat
    parts = keys, memory, query, direction, filters, location
    return Given(*parts, tuple(rest[:layers]), tuple(rest[layers:]))


class _Made(NamedTuple):
    """What the forward pass makes: queries (steps, batch, dim), context (steps + 1, batch,
    memory_dim), alignment (batch, steps, positions); then of each layer its gates (steps, batch,
    4 * hidden), hidden states and LSTM memories (steps + 1, batch, hidden)."""

    queries: Tensor
    context: Tensor
    alignment: Tensor
    gates: tuple[Tensor, ...]
    hidden: tuple[Tensor, ...]
    memories: tuple[Tensor | None, ...]


class Passes(torch.autograd.Function):
    """The loop; it writes over the hoisted gates that it is handed."""

    @staticmethod
    def forward(
        ctx: Any, fixed: Fixed, hoisted: Tensor, *flat: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        given = _given(flat, len(fixed.lstm))
        made = _room(fixed, hoisted.detach(), given)
        _call("forward", fixed, given, made, None)
        ctx.fixed, ctx.count = fixed, len(flat)
        ctx.save_for_backward(*flat, *made[:3], *made.gates, *made.hidden, *made.memories)
        ctx.set_materialize_grads(False)
        return made.hidden[-1][1:], made.context[1:], made.alignment

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        fixed, layers = ctx.fixed, len(ctx.fixed.lstm)
        given = _given(ctx.saved_tensors[: ctx.count], layers)
        flat = ctx.saved_tensors[ctx.count :]
        of_layers = (flat[i : i + layers] for i in range(3, len(flat), layers))
        made = _Made(*flat[:3], *of_layers)
        to = _slopes(fixed, given, made, gradients)
        _call("backward", fixed, given, made, to)
        return (None, to.gates[0], *_gathered(given, made, to))


class _Slopes(NamedTuple):
    """Of the backward pass: the gradients of what was given, sums of all steps before them, and
    those of what had been made; each shaped as what it belongs to, those of weights a row each."""

    cumulative: Tensor
    hidden: Tensor | None
    context: Tensor | None
    alignment: Tensor | None
    queries: Tensor
    read: Tensor
    keys: Tensor
    direction: Tensor
    filters: Tensor
    location: Tensor
    gates: tuple[Tensor, ...]


def _room(fixed: Fixed, hoisted: Tensor, given: Given) -> _Made:
    steps, batch = hoisted.shape[:2]
    widths = [len(weight) for weight in given.weights]
    gates = (hoisted, *(hoisted.new_empty(steps, batch, width) for width in widths[1:]))
    states = [
        [_after_zeros(hoisted, steps, batch, width // 4) for width in widths] for _ in range(2)
    ]
    return _Made(
        given.keys.new_empty(steps, batch, given.keys.shape[2]),
        _after_zeros(hoisted, steps, batch, given.memory.shape[2]),
        given.keys.new_empty(batch, steps, given.keys.shape[1]),
        gates,
        tuple(states[0]),
        tuple(x if lstm else None for x, lstm in zip(states[1], fixed.lstm, strict=True)),
    )


def _after_zeros(like: Tensor, steps: int, batch: int, width: int) -> Tensor:
    """(steps + 1, batch, width) to be written, but for the state before the first step: zeros."""
    room = like.new_empty(steps + 1, batch, width)
    room[0] = 0
    return room


def _slopes(fixed: Fixed, given: Given, made: _Made, gradients: Series[Tensor | None]) -> _Slopes:
    batch, steps = made.alignment.shape[:2]
    taps, number, direction = fixed.histories * fixed.kernel, made.context.dtype, given.direction
    filters = 0 if given.filters is None else len(given.filters)
    dim = len(direction) if filters else 0
    hidden, context, alignment = gradients
    return _Slopes(
        made.alignment.cumsum(1),
        None if hidden is None else hidden.to(number).contiguous(),
        None if context is None else context.to(number).contiguous(),
        None if alignment is None else alignment.contiguous(),
        torch.empty_like(made.queries, dtype=number),
        direction.new_empty(steps, batch, given.memory.shape[2]),
        torch.zeros_like(given.keys),
        direction.new_zeros(batch, len(direction)),
        direction.new_zeros(batch, taps, filters),
        direction.new_zeros(batch, dim, filters),
        tuple(torch.empty_like(gates) for gates in made.gates),
    )


def _gathered(given: Given, made: _Made, to: _Slopes) -> list[Tensor | None]:
    """The gradients of all that was given, each weight's as one product over all steps."""
    filters = given.filters
    inputs = (made.context[:-1], *(hidden[1:] for hidden in made.hidden))
    before = [hidden[:-1] for hidden in made.hidden]
    return [
        to.keys,
        torch.bmm(made.alignment.transpose(1, 2), to.read.transpose(0, 1)),
        _outer(to.queries, inputs[-1]),
        to.direction.sum(0),
        None if filters is None else to.filters.sum(0).t().reshape(filters.shape),
        None if filters is None else to.location.sum(0),
        *(
            torch.cat([_outer(slopes, x), _outer(slopes, y)], 1)
            for slopes, x, y in zip(to.gates, inputs[:-1], before, strict=True)
        ),
        None,  # the bottom layer's bias was hoisted
        *(slopes.sum((0, 1), dtype=torch.float32) for slopes in to.gates[1:]),
    ]


def _outer(slopes: Tensor, inputs: Tensor) -> Tensor:
    return outer_sum(slopes.flatten(0, 1), inputs.flatten(0, 1))


def _call(way: str, fixed: Fixed, given: Given, made: _Made, to: _Slopes | None) -> None:
    """Hand addresses and sizes over, in the order of the structures in the C++ headers."""
    keys, memory, query, direction, filters, location = given[:6]
    batch, steps, positions = made.alignment.shape
    layers = len(fixed.lstm)
    sizes = (layers, batch, steps, positions, query.shape[1], keys.shape[2], memory.shape[2])
    located = (fixed.histories, 0 if filters is None else len(filters), fixed.kernel)
    reads = (fixed.lengths, fixed.first, keys, memory, direction, query, filters, location)
    slopes = (None,) * 10 if to is None else to[:10]
    attention = (*sizes, *located, fixed.through_previous, *reads, *made[:3], *slopes)
    rows = [
        (
            given.weights[i].shape[1] - given.weights[i].shape[0] // 4,
            given.weights[i].shape[0] // 4,
            given.weights[i],
            given.biases[i] if i else None,
            made.gates[i],
            made.memories[i],
            made.hidden[i],
            fixed.drawn[i],
            fixed.rates[i],
            None if to is None else to.gates[i],
        )
        for i in range(layers)
    ]
    name = "bfloat16" if made.context.dtype == torch.bfloat16 else "float"
    tables = _table([attention]), _table(rows)
    call(NAME, f"core_{way}_{name}", *tables, float(fixed.sharpening))


def _table(rows: Series[Series[Tensor | int | None]]) -> Tensor:
    """Sizes, and addresses of contiguous tensors, 0 for None."""
    return torch.tensor([[_address(x) for x in row] for row in rows])


def _address(x: Tensor | int | None) -> int:
    if isinstance(x, Tensor):
        if not x.is_contiguous():
            raise ValueError("a kernel reads contiguous tensors alone")
        return x.data_ptr()
    return int(x or 0)
