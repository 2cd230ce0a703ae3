"""The core loop over all known steps as one function in C++, with its own backward pass.

`fits` alone decides where it runs; everywhere else `AttentionRNN` goes step by step, which is also
what the tests compare it with.
"""

from collections.abc import Sequence as Series

import torch
from torch import Tensor
from torch.nn import functional as F

from speechseq.eager import has_memory
from speechseq.nn.attention.content import ContentAttention, ContentState
from speechseq.nn.attention.contract import Attention
from speechseq.nn.attention.location_sensitive import LocationSensitiveAttention, LocationState
from speechseq.nn.cells import SplitCell, SplitGRU, SplitLSTM
from speechseq.ops.attention_rnn.cpp import NAME, Fixed, Passes, Places
from speechseq.ops.cpp.library import library
from speechseq.ops.linear import linear
from speechseq.ops.plain import is_plain
from speechseq.ops.varlen import gather_rows, scatter_rows
from speechseq.shapes import Lengths, MemoryMask, Sequence

LANES = 16  # the attention's own width, and its filters, come in whole multiples of so many


def fits(cells: Series[SplitCell], attention: Attention, inputs: Tensor, mask: MemoryMask) -> bool:
    """Whether the kernel does these cells, this mechanism and this machine's numbers."""
    lengths = mask.sum(1, keepdim=True)
    return (
        known_number(cells, attention, inputs, "cpu") is not None
        and library(NAME) is not None
        and bool((mask == (torch.arange(mask.shape[1]) < lengths)).all())
    )


def known_number(
    cells: Series[SplitCell], attention: Attention, inputs: Tensor, device: str
) -> torch.dtype | None:
    """The numbers of states and products in a kernel of a kind of device; None where the kernels
    know a cell, the mechanism or the numbers not."""
    if not has_memory(inputs) or inputs.device.type != device:
        return None
    known = (
        reads(attention)
        and all(is_plain(cell, SplitLSTM, SplitGRU) for cell in cells)
        and attention.reading.is_plain
        and {p.dtype for cell in cells for p in cell.parameters()} == {torch.float32}
    )
    if not known:
        return None
    if torch.is_autocast_enabled(device):
        half = torch.get_autocast_dtype(device)
        return half if half == torch.bfloat16 else None
    return torch.float32 if inputs.dtype == torch.float32 else None


def reads(attention: Attention) -> bool:
    """True if kernels know the mechanism and may read its layers, keys apart, uncalled."""
    kinds = LocationSensitiveAttention, ContentAttention
    return isinstance(attention, kinds) and is_plain(attention, *kinds) and attention.is_readable()


def run(
    cells: Series[SplitCell],
    attention: Attention,
    inputs: Sequence,
    memory: Tensor,
    memory_mask: MemoryMask,
    lengths: Lengths,
    drawn: Series[Tensor | None],
) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states, contexts and alignment, (batch, steps, …); see `AttentionRNN.forward`.

    Nothing is done for steps beyond a row's length.

    Args:
        drawn: what `SplitCell.recurrent_dropout_bits` gave for each cell, all steps.
    """
    number = known_number(cells, attention, inputs, "cpu")
    assert number is not None, "ask `fits` first"
    state = attention.start(memory, memory_mask)
    gates = [cell.four_gates() for cell in cells]
    batch, steps = inputs.shape[:2]
    places = Places.of(lengths, steps)
    index = places.items * steps + places.steps
    hoisted = linear(gather_rows(inputs.flatten(0, 1), index), gates[0].inputs, gates[0].bias)
    hidden, context, alignment = Passes.apply(
        _fixed(cells, attention, state, places, drawn),
        hoisted.to(number),
        _widened(state.keys.float(), 2),
        state.memory.float().contiguous(),
        *_asked(attention, number),
        *(gate.recurrent.to(number) for gate in gates),
        *(gate.bias.float() for gate in gates),
    )
    whole = (
        scatter_rows(x, index, batch * steps).unflatten(0, (batch, steps))
        for x in (hidden, context)
    )
    return *whole, alignment


def _widened(x: Tensor, dim: int) -> Tensor:
    """With zeros up to a whole multiple of LANES along a dimension, from behind if negative."""
    missing = -x.shape[dim] % LANES
    if not missing:
        return x.contiguous()
    after = x.dim() - 1 - dim % x.dim()
    return F.pad(x, (0, 0) * after + (0, missing)).contiguous()


def _asked(attention: Attention, number: torch.dtype) -> tuple[Tensor | None, ...]:
    """The mechanism's tensors of `Given`; its small ones stay in float32."""
    assert isinstance(attention, LocationSensitiveAttention | ContentAttention)
    query = _widened(attention.query.weight, 0).to(number)
    direction = _widened(attention.energy.weight[0], 0)
    if isinstance(attention, ContentAttention):
        return query, direction, None, None
    location = _widened(_widened(attention.location.weight, 0), 1)
    return query, direction, _widened(attention.filters.weight, 0), location


def _fixed(
    cells: Series[SplitCell],
    attention: Attention,
    state: ContentState | LocationState,
    places: Places,
    drawn: Series[Tensor | None],
) -> Fixed:
    histories, kernel = 0, 1
    if isinstance(attention, LocationSensitiveAttention):
        histories, kernel = attention.filters.weight.shape[1:]
    first = state.history[:, 0] if isinstance(state, LocationState) else state.previous
    return Fixed(
        places,
        state.mask.sum(1),
        first.float().contiguous(),
        attention.reading.sharpening,
        attention.reading.through_previous,
        histories,
        kernel,
        tuple(isinstance(cell, SplitLSTM) for cell in cells),
        tuple(None if x is None else x[places.steps, places.items] for x in drawn),
        torch.tensor(
            [[cell.dropout_scale, 0.0 if cell.training else cell.zoneout] for cell in cells]
        ),
    )
