"""Both passes of the core loop's kernel as one function of autograd."""

from collections.abc import Sequence as Series
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from speechseq.ops.autograd import saved_tensors
from speechseq.ops.cpp.library import call, pack
from speechseq.ops.linear import weight_grad

NAME = "core_loop"


class Places(NamedTuple):
    """Where the rows of each step stand, one step behind the other, without those that ended.

    Row i is item `order[i]` at every step, the longest first; a step's rows begin at `starts[step]`
    (steps + 1). `items` and `steps` say what stands at a place; `before` is the place of the state
    before it, where the states before all steps, one an item, stand in front.
    """

    order: Tensor
    starts: Tensor
    items: Tensor
    steps: Tensor
    before: Tensor

    @staticmethod
    def of(lengths: Tensor, steps: int) -> "Places":
        """Of rows that take so many steps each, 1 or more."""
        lengths, order = lengths.clamp(1, steps).sort(descending=True, stable=True)
        step, row = (torch.arange(steps).unsqueeze(1) < lengths).nonzero().unbind(1)
        starts = F.pad(step.bincount(minlength=steps).cumsum(0), (1, 0))
        behind = starts[step - 1] + len(lengths)
        before = torch.where(step > 0, behind, 0) + row
        return Places(order, starts, order[row], step, before)


class Fixed(NamedTuple):
    """What a run needs beside its differentiable tensors.

    lengths (batch) and first (batch, positions) of the memory: the weights before all steps; a
    layer's `drawn` is (places, hidden) or None, its `rates` are (multiplier of dropout, share of
    zoneout).
    """

    places: Places
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
    """What the forward pass makes: queries (places, dim), context (batch + places, memory_dim),
    alignment (batch, steps, positions); then of each layer its gates (places, 4 * hidden), hidden
    states and LSTM memories (batch + places, hidden)."""

    queries: Tensor
    context: Tensor
    alignment: Tensor
    gates: tuple[Tensor, ...]
    hidden: tuple[Tensor, ...]
    memories: tuple[Tensor | None, ...]


def _made(flat: Series[Any], layers: int) -> _Made:
    return _Made(*flat[:3], *(flat[i : i + layers] for i in range(3, len(flat), layers)))


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
        batch = len(given.keys)
        return made.hidden[-1][batch:], made.context[batch:], made.alignment

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        fixed, layers = ctx.fixed, len(ctx.fixed.lstm)
        tensors, last = saved_tensors(ctx)
        given, made = _given(tensors[: ctx.count], layers), _made(tensors[ctx.count :], layers)
        to = _slopes(fixed, given, made, gradients, last)
        _call("backward", fixed, given, made, to)
        del tensors
        made = made._replace(memories=())
        return (None, to.gates[0], *_gathered(fixed, given, made, to))


class _Slopes(NamedTuple):
    """Of the backward pass: the gradients of what was given, sums of all steps before them, and
    those of what had been made; each shaped as what it belongs to, those of weights a row each.
    Those of the gates may stand in the gates' own room."""

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
    batch, positions, dim = given.keys.shape
    places, steps = len(hoisted), len(fixed.places.starts) - 1
    widths = [len(weight) for weight in given.weights]
    gates = (hoisted, *(hoisted.new_empty(places, width) for width in widths[1:]))
    hidden, memories = (
        [_after_zeros(hoisted, batch, width // 4) for width in widths] for _ in range(2)
    )
    return _Made(
        given.keys.new_empty(places, dim),
        _after_zeros(hoisted, batch, given.memory.shape[2]),
        given.keys.new_zeros(batch, steps, positions),
        gates,
        tuple(hidden),
        tuple(x if lstm else None for x, lstm in zip(memories, fixed.lstm, strict=True)),
    )


def _after_zeros(like: Tensor, batch: int, width: int) -> Tensor:
    """(batch + places, width) to be written, but for the states before all steps: zeros."""
    room = like.new_empty(batch + len(like), width)
    room[:batch] = 0
    return room


def _slopes(
    fixed: Fixed, given: Given, made: _Made, gradients: Series[Tensor | None], last: bool
) -> _Slopes:
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
        direction.new_zeros(batch, steps, given.memory.shape[2]),
        torch.zeros_like(given.keys),
        direction.new_zeros(batch, len(direction)),
        direction.new_zeros(batch, taps, filters),
        direction.new_zeros(batch, dim, filters),
        made.gates if last else tuple(torch.empty_like(gates) for gates in made.gates),
    )


def _gathered(fixed: Fixed, given: Given, made: _Made, to: _Slopes) -> list[Tensor | None]:
    """The gradients of all that was given, each weight's as one product over all steps."""
    filters, batch, before = given.filters, len(given.keys), fixed.places.before
    weights = []
    for i, (slopes, hidden) in enumerate(zip(to.gates, made.hidden, strict=True)):
        below = made.hidden[i - 1][batch:] if i else made.context.index_select(0, before)
        from_below = weight_grad(slopes, below)
        del below  # one copy of the states at a time
        from_before = weight_grad(slopes, hidden.index_select(0, before))
        weights.append(torch.cat([from_below, from_before], 1))
    return [
        to.keys,
        torch.bmm(made.alignment.transpose(1, 2), to.read),
        weight_grad(to.queries, made.hidden[-1][batch:]),
        to.direction.sum(0),
        None if filters is None else to.filters.sum(0).t().reshape(filters.shape),
        None if filters is None else to.location.sum(0),
        *weights,
        None,  # the bottom layer's bias was hoisted
        *(slopes.sum(0, dtype=torch.float32) for slopes in to.gates[1:]),
    ]


def _call(way: str, fixed: Fixed, given: Given, made: _Made, to: _Slopes | None) -> None:
    """Hand addresses and sizes over, in the order of the structs' fields."""
    keys, memory, query, direction, filters, location = given[:6]
    batch, steps, positions = made.alignment.shape
    layers = len(fixed.lstm)
    sizes = (layers, batch, steps, positions, query.shape[1], keys.shape[2], memory.shape[2])
    located = (fixed.histories, 0 if filters is None else len(filters), fixed.kernel)
    lengths = (fixed.lengths, fixed.places.order, fixed.places.starts)
    reads = (*lengths, fixed.first, keys, memory, direction, query, filters, location)
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
    structs = pack(NAME, f"Attention_{name}", attention), pack(NAME, f"Layer_{name}", *rows)
    call(NAME, f"core_{way}_{name}", *structs, fixed.sharpening)
