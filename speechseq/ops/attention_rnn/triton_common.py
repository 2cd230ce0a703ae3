"""What both passes of the launched core loop know: tensors, sizes, and the kernels' constants."""

from collections.abc import Sequence as Series
from typing import Any, NamedTuple

import torch
from torch import Tensor

from speechseq.ops.triton.launch import cdiv, next_power_of_2

UNITS, PLACES, COLUMNS, SOME = 256, 8, 32, 16  # of a program: units, positions, columns, filters


class Settled(NamedTuple):
    """What a run needs beside its differentiable tensors.

    valid (batch, positions) in bytes; first (batch, positions), the weights before all steps;
    whether each layer is an LSTM, what was drawn for it (steps, batch, hidden) or None, and its
    (multiplier of dropout, share of zoneout).
    """

    valid: Tensor
    first: Tensor
    sharpening: float
    through_previous: bool
    channels: int
    taps: int
    lstm: tuple[bool, ...]
    drawn: tuple[Tensor | None, ...]
    rates: tuple[tuple[float, float], ...]


class Given(NamedTuple):
    """What is differentiable beside the hoisted gates (steps, batch, 4 * hidden).

    keys (batch, positions, dim), memory (batch, positions, memory_dim), query (dim, hidden),
    direction (dim), folded (channels * taps, dim); weights (4 * hidden, inputs + hidden) and
    biases of each layer.
    """

    keys: Tensor
    memory: Tensor
    query: Tensor
    direction: Tensor
    folded: Tensor
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]


class Made(NamedTuple):
    """What the forward pass leaves: queries (steps, batch, dim), alignment (batch, steps,
    positions); of each layer its gates (steps, batch, 4 * hidden), the inputs of its product
    [below; hidden before], and its hidden states and memories in float32, the last three with the
    states before all steps in front (steps + 1, batch, …)."""

    queries: Tensor
    alignment: Tensor
    gates: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    hidden: tuple[Tensor, ...]
    memories: tuple[Tensor, ...]


def given_of(flat: Series[Tensor], layers: int) -> Given:
    """Of tensors one behind the other."""
    keys, memory, query, direction, folded, *rest = flat
    parts = keys, memory, query, direction, folded
    return Given(*parts, tuple(rest[:layers]), tuple(rest[layers:]))


def room_for(settled: Settled, hoisted: Tensor, given: Given) -> Made:
    """Tensors for what the forward pass leaves; it writes the gates over the hoisted ones."""
    steps, batch, _ = hoisted.shape
    widths = [len(weight) // 4 for weight in given.weights]
    return Made(
        hoisted.new_empty(steps, batch, given.keys.shape[2]),
        settled.first.new_empty(batch, steps, given.keys.shape[1]),
        (hoisted, *(hoisted.new_empty(steps, batch, 4 * width) for width in widths[1:])),
        tuple(_after_zeros(hoisted, weight.shape[1]) for weight in given.weights),
        tuple(_after_zeros(hoisted, width, torch.float32) for width in widths),
        tuple(
            _after_zeros(hoisted, width if lstm else 0, torch.float32)
            for width, lstm in zip(widths, settled.lstm, strict=True)
        ),
    )


def _after_zeros(like: Tensor, width: int, dtype: torch.dtype | None = None) -> Tensor:
    """(steps + 1, batch, width) to be written, but for the states before all steps."""
    room = like.new_empty(like.shape[0] + 1, like.shape[1], width, dtype=dtype)
    room[0] = 0
    return room


def own(inputs: Tensor, hidden: Tensor) -> Tensor:
    """Of a product's inputs those that are the layer's own hidden state."""
    return inputs[..., -hidden.shape[-1] :]


class LoopPass:
    """What both passes know: tensors and sizes."""

    def __init__(self, settled: Settled, given: Given, made: Made) -> None:
        self.settled, self.given, self.made = settled, given, made
        self.batch, self.steps, self.positions = made.alignment.shape
        self.dim, self.memory_dim = given.keys.shape[2], given.memory.shape[2]
        self.layers = range(len(given.weights))
        self.tiles = cdiv(self.positions, PLACES)

    def drawn(self, layer: int, step: int) -> tuple[Tensor | float, ...]:
        """What was drawn, or any tensor; the multiplier and zoneout's share."""
        drawn = self.settled.drawn[layer]
        of_step = self.settled.valid if drawn is None else drawn[step]
        return of_step, *self.settled.rates[layer]

    def cell(self, layer: int) -> dict[str, Any]:
        """The constants of a layer's kernels."""
        return {
            "HIDDEN": self.made.hidden[layer].shape[2],
            "LSTM": self.settled.lstm[layer],
            "DRAWN": self.settled.drawn[layer] is not None,
            "UNITS": UNITS,
        }

    def rows_by_units(self, layer: int) -> tuple[int, int]:
        """The programs of a layer's kernels."""
        return self.batch, cdiv(self.made.hidden[layer].shape[2], UNITS)

    def filtered(self) -> dict[str, int]:
        """The constants of the energies' kernels."""
        return {
            "DIM": self.dim,
            "WIDE": next_power_of_2(max(self.dim, SOME)),
            "CHANNELS": self.settled.channels,
            "TAPS": self.settled.taps,
            "PLACES": PLACES,
        }
