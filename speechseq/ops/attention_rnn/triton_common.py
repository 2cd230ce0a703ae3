"""Tensors, sizes and constants shared by both Triton passes of the attention RNN (experimental)."""

from collections.abc import Sequence as Series
from typing import Any, NamedTuple

import torch
from torch import Tensor

from speechseq.ops.attention_rnn.problem import LoopInputs, LoopSpec
from speechseq.ops.triton.launch import cdiv, next_power_of_2

# hidden units, positions, memory columns and folded filters that one program computes
UNITS, POSITIONS, COLUMNS, TAPS = 256, 8, 32, 16


class LoopSaved(NamedTuple):
    """Tensors that the forward pass in Triton saves for the backward pass; layers from the bottom.

    `inputs + hidden` is the width of a layer's product: its inputs and its hidden state.

    Args:
        queries: (steps, batch, dim), projected queries of the attention.
        alignment: (batch, steps, positions) float32, attention weights.
        gates: for each layer, (steps, batch, 4 * hidden), after their activations.
        inputs: for each layer, (steps + 1, batch, inputs + hidden), input of each step's product:
            [context or hidden state of the layer below; own previous hidden state].
        hidden: for each layer, (steps + 1, batch, hidden) float32; the first is the state before
            the first step.
        cells: cell states of LSTM layers, shaped as `hidden`; of width 0 for GRU layers.
    """

    queries: Tensor
    alignment: Tensor
    gates: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    hidden: tuple[Tensor, ...]
    cells: tuple[Tensor, ...]

    def flat(self) -> tuple[Tensor, ...]:
        """Return all tensors in one tuple (2 + 4 · layers), as an autograd Function saves them."""
        return *self[:2], *self.gates, *self.inputs, *self.hidden, *self.cells

    @staticmethod
    def of(flat: Series[Any]) -> "LoopSaved":
        """Rebuild the named tuple from its flat form.

        Args:
            flat: the tuple that `flat` returned.
        """
        layers = (len(flat) - 2) // 4
        return LoopSaved(*flat[:2], *(flat[i : i + layers] for i in range(2, len(flat), layers)))


def allocate(spec: LoopSpec, hoisted: Tensor, tensors: LoopInputs) -> LoopSaved:
    """Allocate the tensors that the forward pass of the attention RNN fills.

    Args:
        spec: settings of the run; tells which layers are LSTMs.
        hoisted: (steps, batch, 4 * hidden), the bottom layer's gates from the inputs alone, without
            context and hidden state; the forward pass overwrites them with the activated gates.
        tensors: memory, keys and weights, for their sizes.

    Returns:
        A `LoopSaved` of uninitialised tensors, with zeros as the states before the first step.
    """
    steps, batch, _ = hoisted.shape
    widths = [len(weight) // 4 for weight in tensors.weights]
    return LoopSaved(
        hoisted.new_empty(steps, batch, tensors.keys.shape[2]),
        spec.first_weights.new_empty(batch, steps, tensors.keys.shape[1]),
        (hoisted, *(hoisted.new_empty(steps, batch, 4 * width) for width in widths[1:])),
        tuple(_after_zeros(hoisted, weight.shape[1]) for weight in tensors.weights),
        tuple(_after_zeros(hoisted, width, torch.float32) for width in widths),
        tuple(
            _after_zeros(hoisted, width if lstm else 0, torch.float32)
            for width, lstm in zip(widths, spec.lstm, strict=True)
        ),
    )


def _after_zeros(like: Tensor, width: int, dtype: torch.dtype | None = None) -> Tensor:
    """Uninitialised (steps + 1, batch, width); only the state before the first step is zero."""
    room = like.new_empty(like.shape[0] + 1, like.shape[1], width, dtype=dtype)
    room[0] = 0
    return room


def own_hidden(inputs: Tensor, hidden: Tensor) -> Tensor:
    """Slice a layer's previous hidden state from the inputs of its product.

    Args:
        inputs: (…, inputs + width), tensors of `LoopSaved.inputs`: [inputs; hidden state].
        hidden: (…, width), a tensor that is as wide as the hidden state.

    Returns:
        The last `width` columns of `inputs`, a view (…, width).
    """
    return inputs[..., -hidden.shape[-1] :]


class LoopPass:
    """Base class of `Forward` and `Backward`, with the sizes and kernel arguments that both need.

    Subclasses add a method `run`, which launches the kernels of all steps.

    Args:
        spec: sizes, masks and other data of the run without gradients.
        tensors: memory, keys and weights.
        out: tensors that the forward pass fills and the backward pass reads.
    """

    def __init__(self, spec: LoopSpec, tensors: LoopInputs, out: LoopSaved) -> None:
        self.spec, self.tensors, self.out = spec, tensors, out
        self.batch, self.steps, self.positions = out.alignment.shape
        self.dim, self.memory_dim = tensors.keys.shape[2], tensors.memory.shape[2]
        self.layers = range(len(tensors.weights))
        self.tiles = cdiv(self.positions, POSITIONS)
        self.mask = spec.memory_mask.to(torch.uint8)
        # without location filters the kernels take any tensor and do not read it
        self.folded = tensors.energy if tensors.filters is None else tensors.filters

    def dropout(self, layer: int, step: int) -> tuple[Tensor | float, ...]:
        """Return a step's arguments of dropout and zoneout for the kernels of a layer.

        Args:
            layer: index of the layer, from the bottom.
            step: index of the step.

        Returns:
            Bits (batch, hidden) uint8 of `recurrent_dropout_bits` (without dropout another tensor,
            which the kernels do not read), factor of the units that dropout keeps, and zoneout
            rate.
        """
        bits = self.spec.dropout_bits[layer]
        return self.mask if bits is None else bits[step], *self.spec.rates[layer]

    def cell(self, layer: int) -> dict[str, Any]:
        """Return the compile-time constants of the gate kernels of a layer.

        Args:
            layer: index of the layer, from the bottom.

        Returns:
            HIDDEN (width), LSTM (False: GRU), DROPOUT (has bits) and UNITS (units per program).
        """
        return {
            "HIDDEN": self.out.hidden[layer].shape[2],
            "LSTM": self.spec.lstm[layer],
            "DROPOUT": self.spec.dropout_bits[layer] is not None,
            "UNITS": UNITS,
        }

    def cell_grid(self, layer: int) -> tuple[int, int]:
        """Return the launch grid of the gate kernels of a layer: (batch, blocks of UNITS units).

        Args:
            layer: index of the layer, from the bottom.
        """
        return self.batch, cdiv(self.out.hidden[layer].shape[2], UNITS)

    def energy(self) -> dict[str, int]:
        """Return the compile-time constants of the kernels that compute attention energies.

        Returns:
            DIM (width of the keys), WIDE (DIM rounded up to a power of 2), CHANNELS and TAPS
            (inputs and width of the location filters; 0 without), PLACES (positions per program).
        """
        return {
            "DIM": self.dim,
            "WIDE": next_power_of_2(max(self.dim, TAPS)),
            "CHANNELS": self.spec.channels,
            "TAPS": self.spec.kernel if self.spec.channels else 0,
            "PLACES": POSITIONS,
        }
