"""Speller whose step is one call of a C++ kernel, for searches in float32 on a CPU."""

from collections.abc import Callable
from collections.abc import Sequence as Series
from typing import NamedTuple

import torch
from torch import Tensor, nn

from speechseq.eager import has_memory
from speechseq.nn.attention.content import ContentAttention, ContentState
from speechseq.nn.attention.contract import Attention
from speechseq.nn.attention.location_sensitive import LocationSensitiveAttention, LocationState
from speechseq.nn.attention_rnn import AttentionRNN
from speechseq.nn.attention_rnn_fast import attention_supported
from speechseq.nn.cells import LSTMState, SplitCell, SplitLSTM
from speechseq.nn.rows import Indexed, PerUtterance
from speechseq.ops.cpp.library import call, library, pack
from speechseq.ops.deferred_linear import KERNELS, pack_weight
from speechseq.ops.plain import is_plain
from speechseq.shapes import Memory, MemoryMask

LINE = 16  # floats; the values of a row fill whole cache lines


class CppState(NamedTuple):
    """State of an attention RNN between two steps, in the layout of the C++ kernel.

    A search re-orders only `place`, which maps each hypothesis to a row of `values` and `weights`:
    hypotheses that continue the same hypothesis share a row.

    Attributes:
        memory: (utterances, positions, memory_dim) in the kernel's own order; not to be read.
        mask: (utterances, positions), True = valid.
        keys: (utterances, positions, dim), the projected memory.
        place: (hypotheses), for each hypothesis its row in `values` and `weights`.
        values: (hypotheses of the last step, width): states of the cells, context and, if the
            attention reads it, the sum of all weights.
        weights: (hypotheses of the last step, positions), attention weights.
    """

    memory: PerUtterance
    mask: PerUtterance
    keys: PerUtterance
    place: Tensor
    values: Indexed
    weights: Indexed


class CppSpelled(NamedTuple):
    """Output of a step of `CppSpeller`.

    Attributes:
        log_probs: (rows, symbols), of the next symbol of each hypothesis.
        weights: (rows, positions), attention weights.
        state: state for the next step.
    """

    log_probs: Tensor
    weights: Tensor
    state: CppState


def supported(core: AttentionRNN, heads: Series[nn.Module], parameters: list[Tensor]) -> bool:
    """Return True if the C++ kernel can run the steps of a speller with these parts.

    Args:
        core: the attention RNN; the kernel supports some cells and attention mechanisms.
        heads: the output layers.
        parameters: all parameters of the speller, which must be float32 on a CPU.
    """
    return (
        not torch.is_grad_enabled()
        and not core.training
        and all(is_plain(x, nn.Linear) and x.bias is not None for x in heads)
        and attention_supported(core.attention)
        and core.attention.reading.is_plain
        and all(is_plain(cell, SplitLSTM) and not cell.zoneout for cell in core.cells)
        and has_memory(*parameters)
        and all(p.dtype == torch.float32 and p.device.type == "cpu" for p in parameters)
        and not torch.is_autocast_enabled("cpu")
        and library(KERNELS) is not None
    )


class CppSpeller:
    """Speller for one search (attention RNN and output layers) whose steps run in C++.

    `Speller.prepare` makes it where `supported`. A search calls `start` once and then `step` for
    each symbol. The constructor packs the weights.

    Args:
        core: the attention RNN.
        hoist: maps tokens (rows) to the part (rows, 4 * hidden) of the first cell's gates that
            depends on the token alone.
        gates: results of `hoist` for all symbols (symbols, 4 * hidden); None if there are too many
            symbols, so that `hoist` is called at each step.
        heads: one or two output layers; two have a tanh between them.
        never: (symbols), True for symbols that are never output, such as padding.
        lowest: log-probability that these symbols get.
    """

    def __init__(
        self,
        core: AttentionRNN,
        hoist: Callable[[Tensor], Tensor],
        gates: Tensor | None,
        heads: Series[nn.Linear],
        never: Tensor,
        lowest: float,
    ) -> None:
        attention = core.attention
        assert isinstance(attention, LocationSensitiveAttention | ContentAttention)
        self.core, self.hoist, self.lowest = core, hoist, lowest
        self.gates = None if gates is None else gates.contiguous()
        self.sharpening, self.symbols = attention.reading.sharpening, len(heads[-1].weight)
        query, direction = attention.query.weight, attention.energy.weight[0]
        located = _located(attention)
        parts = [pack_weight(query), direction.contiguous(), located.filters, located.location]
        outputs = [(pack_weight(layer.weight), layer.bias) for layer in heads]
        deep = heads[0].out_features if len(heads) > 1 else 0
        parts += [*(outputs[0] if deep else (None, None)), *outputs[-1], never]
        cells = [_packed_cell(cell, layer == 0) for layer, cell in enumerate(core.cells)]
        sizes = [len(core.cells), core.cell.hidden, core.cell.context_dim, len(direction)]
        sizes += [located.histories, located.number, located.kernel, deep, self.symbols]
        structs = pack(KERNELS, "SpellerCell", *cells)
        self.plan = pack(KERNELS, "Speller", [*sizes, *parts, structs])

    def start(self, memory: Memory, memory_mask: MemoryMask) -> CppState:
        """Return the state before the first step, whose input is sos (start of sequence).

        Args:
            memory: (batch, positions, memory_dim), output of the encoder.
            memory_mask: (batch, positions), True = valid.
        """
        state = self.core.start(memory, memory_mask)
        attention, rows = state.attention, len(state.context)
        cells = [own.cell for own in state.rnn if isinstance(own, LSTMState)]
        values = [*cells, *(own.hidden for own in state.rnn), state.context]
        if isinstance(attention, ContentState):
            weights = attention.previous
        else:
            assert isinstance(attention, LocationState)
            weights = attention.history[:, 0]
            values += attention.history[:, 1:].unbind(1)
        values.append(weights.new_zeros(rows, -sum(x.shape[1] for x in values) % LINE))
        return CppState(
            _packed_memory(attention.memory),
            attention.mask.contiguous(),
            attention.keys.contiguous(),
            torch.arange(rows),
            torch.cat(values, 1),
            weights.contiguous(),
        )

    def step(self, tokens: Tensor, state: CppState) -> CppSpelled:
        """Run one step on `tokens` (rows), the previous symbol of each hypothesis.

        `state` is the result of `start` or of the previous step.

        Raises:
            ValueError: the number of tokens differs from the number of hypotheses in the state, or
                is not divisible by the number of utterances.
        """
        rows, (places, width) = len(tokens), state.values.shape
        utterances, positions = state.mask.shape
        if len(state.place) != rows or rows % utterances:  # the kernel would read beyond its rows
            raise ValueError(
                f"{rows} tokens for {len(state.place)} hypotheses of {utterances} utterances: give "
                "one a hypothesis, and each utterance as many hypotheses"
            )
        gates, which = self.gates, tokens.contiguous()
        if gates is None:
            gates, which = self.hoist(tokens).contiguous(), torch.arange(rows)
        values = state.values.new_empty(rows, width)
        weights = state.weights.new_empty(rows, positions)
        log_probs = state.weights.new_empty(rows, self.symbols)
        read = state.memory, state.keys, state.mask, state.place, state.values, state.weights
        call(
            *(KERNELS, "spell", self.plan, gates, which, *read, values, weights, log_probs),
            *(rows, utterances, places, positions, self.sharpening, self.lowest),
        )
        after = state._replace(place=torch.arange(rows), values=values, weights=weights)
        return CppSpelled(log_probs, weights, after)


class _Located(NamedTuple):
    """Location layers: filters (number, histories, kernel), location, packed; their sizes."""

    filters: Tensor | None
    location: Tensor | None
    histories: int
    number: int
    kernel: int


def _located(attention: Attention) -> _Located:
    if not isinstance(attention, LocationSensitiveAttention):
        return _Located(None, None, 0, 0, 1)
    weight = attention.filters.weight
    number, histories, kernel = weight.shape
    location = pack_weight(attention.location.weight)
    return _Located(weight.contiguous(), location, histories, number, kernel)


def _packed_cell(cell: SplitCell, is_first: bool) -> tuple[Tensor, Tensor | None]:
    """The recurrent weights, packed block of units by block, and the bias if it is not hoisted."""
    hoisted, inputs, hidden = cell.input_dim, cell.context_dim, cell.hidden
    out = cell.weight_hh.new_empty(_size("size_cell", inputs, hidden))
    call(KERNELS, "pack_cell", cell.weight_ih, cell.weight_hh, out, hoisted, inputs, hidden)
    return out, None if is_first else cell.bias_ih + cell.bias_hh


def _packed_memory(memory: Tensor) -> Tensor:
    """Each utterance's (positions, dim) as the weights of a product with its rows' weights."""
    utterances, positions, dim = memory.shape
    out = memory.new_empty(utterances, _size("size_packed", dim, positions))
    call(KERNELS, "pack_memory", memory.contiguous(), out, utterances, positions, dim)
    return out


def _size(function: str, *numbers: int) -> int:
    """The number of floats in a packed matrix or cell, asked from the kernel."""
    size = torch.empty(1, dtype=torch.int64)
    call(KERNELS, function, size, *numbers)
    return int(size)
