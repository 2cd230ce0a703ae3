"""One step of the speller as one call of a kernel: for searches in float32 on a CPU."""

from typing import NamedTuple

import torch
from torch import Tensor

from speechseq.eager import has_memory
from speechseq.nn.attention.content import ContentAttention, ContentState
from speechseq.nn.attention.contract import Attention
from speechseq.nn.attention.location_sensitive import LocationSensitiveAttention, LocationState
from speechseq.nn.attention_rnn import AttentionRNN, AttentionRNNState
from speechseq.nn.attention_rnn_fast import attention_supported
from speechseq.nn.cells import LSTMState, SplitCell, SplitLSTM
from speechseq.nn.rows import Standing, Stored
from speechseq.ops.cpp.library import call, library, pack
from speechseq.ops.deferred_linear import KERNELS, pack_weight
from speechseq.ops.plain import is_plain

LINE = 16  # floats; the numbers of a row fill whole lines


class KernelState(NamedTuple):
    """What an AttentionRNNState holds, where the kernel finds it.

    A search re-orders `place` alone: numbers and weights stay as the last step made them, and
    hypotheses that continue the same one read the same row.

    memory, packed for each utterance; its mask and keys, as in the attention's state; place (rows):
    which row is a hypothesis's own in numbers (any, width), what the cells hold, the context and
    perhaps the sum of all weights, and in weights (any, positions), those of the last step.
    """

    memory: Standing
    mask: Standing
    keys: Standing
    place: Tensor
    numbers: Stored
    weights: Stored


def fits(core: AttentionRNN, parameters: list[Tensor]) -> bool:
    """Whether the kernel does these cells, this mechanism and this machine's numbers."""
    return (
        not torch.is_grad_enabled()
        and not core.training
        and attention_supported(core.attention)
        and core.attention.reading.is_plain
        and all(is_plain(cell, SplitLSTM) and not cell.zoneout for cell in core.cells)
        and has_memory(*parameters)
        and all(p.dtype == torch.float32 and p.device.type == "cpu" for p in parameters)
        and not torch.is_autocast_enabled("cpu")
        and library(KERNELS) is not None
    )


class SpellerKernel:
    """A speller's weights, packed once for a search.

    Args:
        deep, symbols: (weight, bias) of the output layers, deep perhaps missing.
        never: mask (symbols) of those that get the log-probability `lowest`.
    """

    def __init__(
        self,
        core: AttentionRNN,
        deep: tuple[Tensor, Tensor] | None,
        symbols: tuple[Tensor, Tensor],
        never: Tensor,
        lowest: float,
    ) -> None:
        attention = core.attention
        assert isinstance(attention, LocationSensitiveAttention | ContentAttention)
        self.lowest, self.sharpening = lowest, attention.reading.sharpening
        self.layers, self.hidden = len(core.cells), core.cell.hidden
        self.symbols = len(symbols[0])
        query, direction = attention.query.weight, attention.energy.weight[0]
        located = _located(attention)
        given = [pack_weight(query), direction.contiguous(), located.filters, located.location]
        outputs = [(None, None) if deep is None else (pack_weight(deep[0]), deep[1])]
        outputs.append((pack_weight(symbols[0]), symbols[1]))
        cells = [_packed_cell(cell, layer == 0) for layer, cell in enumerate(core.cells)]
        parts = [*given, *outputs[0], *outputs[1], never, pack(KERNELS, "SpellerCell", *cells)]
        sizes = [self.layers, self.hidden, core.cell.context_dim, len(direction)]
        sizes += [located.histories, located.number, located.kernel]
        sizes += [0 if deep is None else len(deep[0]), self.symbols]
        self.plan = pack(KERNELS, "Speller", [*sizes, *parts])

    def step(
        self, gates: Tensor, which: Tensor, state: AttentionRNNState | KernelState
    ) -> tuple[Tensor, Tensor, KernelState]:
        """Log-probabilities (rows, symbols), weights (rows, positions) and the next state.

        Row i takes row `which[i]` of the hoisted gates (any, 4 * hidden).

        Raises:
            ValueError: not a token for each hypothesis, or not as many for each utterance.
        """
        if isinstance(state, AttentionRNNState):
            state = self._entered(state)
        rows, (places, width) = len(which), state.numbers.shape
        utterances, positions = state.mask.shape
        if len(state.place) != rows or rows % utterances:  # the kernel would read beyond its rows
            raise ValueError(
                f"{rows} tokens for {len(state.place)} hypotheses of {utterances} utterances: give "
                "one a hypothesis, and each utterance as many hypotheses"
            )
        numbers = state.numbers.new_empty(rows, width)
        weights = state.weights.new_empty(rows, positions)
        log_probs = state.weights.new_empty(rows, self.symbols)
        fed = gates.contiguous(), which.contiguous()
        read = state.memory, state.keys, state.mask, state.place
        made = state.numbers, state.weights, numbers, weights, log_probs
        counts = rows, utterances, places, positions
        call(KERNELS, "spell", self.plan, *fed, *read, *made, *counts, self.sharpening, self.lowest)
        place = torch.arange(rows)
        return log_probs, weights, state._replace(place=place, numbers=numbers, weights=weights)

    def _entered(self, state: AttentionRNNState) -> KernelState:
        """The same state, laid out for the kernel."""
        attention, rows = state.attention, len(state.context)
        cells = [own.cell for own in state.rnn if isinstance(own, LSTMState)]
        numbers = [*cells, *(own.hidden for own in state.rnn), state.context]
        if isinstance(attention, ContentState):
            weights = attention.previous
        else:
            assert isinstance(attention, LocationState)
            weights = attention.history[:, 0]
            numbers += attention.history[:, 1:].unbind(1)
        numbers.append(weights.new_zeros(rows, -sum(x.shape[1] for x in numbers) % LINE))
        return KernelState(
            _packed_memory(attention.memory),
            attention.mask.contiguous(),
            attention.keys.contiguous(),
            torch.arange(rows),
            torch.cat(numbers, 1),
            weights.contiguous(),
        )


class _Located(NamedTuple):
    """filters (number, histories, kernel), location, packed; their sizes."""

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
    """The recurring weights, block of units by block, and the bias where it is not hoisted."""
    hoisted, inputs, hidden = cell.input_dim, cell.context_dim, cell.hidden
    made = cell.weight_hh.new_empty(_size("size_cell", inputs, hidden))
    call(KERNELS, "pack_cell", cell.weight_ih, cell.weight_hh, made, hoisted, inputs, hidden)
    return made, None if is_first else cell.bias_ih + cell.bias_hh


def _packed_memory(memory: Tensor) -> Tensor:
    """Each utterance's (positions, dim) as the weights of a product with its rows' weights."""
    utterances, positions, dim = memory.shape
    made = memory.new_empty(utterances, _size("size_packed", dim, positions))
    call(KERNELS, "pack_memory", memory.contiguous(), made, utterances, positions, dim)
    return made


def _size(function: str, *numbers: int) -> int:
    """How many numbers something takes that is packed."""
    size = torch.empty(1, dtype=torch.int64)
    call(KERNELS, function, size, *numbers)
    return int(size)
