"""The core loop over all known steps in few launches of a GPU, with its own backward pass.

Five launches a step and nine on the way back (two more for each further layer), where torch's
operations need 33 and 68, more in bfloat16; for a CUDA graph to hold. Weights and memory have their
gradients from one product each over all steps.
"""

from collections.abc import Sequence as Series
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from speechseq.nn.attention.content import ContentAttention, ContentState
from speechseq.nn.attention.contract import Attention
from speechseq.nn.attention.location_sensitive import LocationSensitiveAttention, LocationState
from speechseq.nn.cells import SplitCell
from speechseq.nn.masks import length_mask, zero_padding
from speechseq.ops.attention_rnn.triton_backward import Backward
from speechseq.ops.attention_rnn.triton_common import Made, Settled, given_of, own, room_for
from speechseq.ops.attention_rnn.triton_forward import Forward
from speechseq.ops.linear import linear
from speechseq.shapes import Lengths, MemoryMask, Sequence


def launched(
    cells: Series[SplitCell],
    attention: Attention,
    number: torch.dtype,
    inputs: Sequence,
    memory: Tensor,
    memory_mask: MemoryMask,
    lengths: Lengths,
    drawn: Series[Tensor | None],
) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states, contexts and alignment, (batch, steps, …); see `AttentionRNN.step_by_step`.

    Args:
        number: of states and products, float32 or bfloat16.
        drawn: what `SplitCell.recurrent_dropout_bits` gave for each cell, all steps.
    """
    assert isinstance(attention, LocationSensitiveAttention | ContentAttention)
    state = attention.start(memory, memory_mask)
    gates = [cell.four_gates() for cell in cells]
    hoisted = linear(inputs.transpose(0, 1), gates[0].inputs, gates[0].bias)
    with torch.autocast(inputs.device.type, enabled=False):
        folded, channels, taps = _folded(attention)
        hidden, context, alignment = Passes.apply(
            _settled(cells, attention, state, drawn, channels, taps),
            hoisted.to(number).contiguous(),
            state.keys.contiguous(),
            state.memory.to(number).contiguous(),
            attention.query.weight.to(number),
            attention.energy.weight[0],
            folded,
            *(gate.recurrent.to(number) for gate in gates),
            *(gate.bias.to(number) for gate in gates),
        )
    mask = length_mask(lengths, inputs.shape[1])
    hidden, context = (zero_padding(x.transpose(0, 1), mask) for x in (hidden, context))
    return hidden, context, zero_padding(alignment, mask)


def _folded(attention: LocationSensitiveAttention | ContentAttention) -> tuple[Tensor, int, int]:
    """Filters and their projection as one matrix, its channels and taps; of none any tensor."""
    if isinstance(attention, ContentAttention):
        return attention.energy.weight, 0, 0
    return attention.folded(), *attention.filters.weight.shape[1:]


def _settled(
    cells: Series[SplitCell],
    attention: Attention,
    state: ContentState | LocationState,
    drawn: Series[Tensor | None],
    channels: int,
    taps: int,
) -> Settled:
    first = state.history[:, 0] if isinstance(state, LocationState) else state.previous
    return Settled(
        state.mask.to(torch.uint8),
        first.float().contiguous(),
        attention.reading.sharpening,
        attention.reading.through_previous,
        channels,
        taps,
        tuple(cell.kind == "lstm" for cell in cells),
        tuple(drawn),
        tuple((cell.dropout_scale, 0.0 if cell.training else cell.zoneout) for cell in cells),
    )


class Passes(torch.autograd.Function):
    """The loop; it writes over the hoisted gates that it is handed."""

    @staticmethod
    def forward(
        ctx: Any, settled: Settled, hoisted: Tensor, *flat: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        given = given_of(flat, len(settled.lstm))
        made = room_for(settled, hoisted.detach(), given)
        with torch.cuda.device_of(hoisted):  # Triton launches on the device at hand
            Forward(settled, given, made).run()
        ctx.settled, ctx.count = settled, len(flat)
        ctx.save_for_backward(*flat, *made[:2], *(x for parts in made[2:] for x in parts))
        ctx.set_materialize_grads(False)
        context = made.inputs[0][1:, :, : given.memory.shape[2]]
        return own(made.inputs[-1], made.hidden[-1])[1:], context, made.alignment

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        layers, tensors = len(ctx.settled.lstm), ctx.saved_tensors
        given, rest = given_of(tensors[: ctx.count], layers), tensors[ctx.count :]
        made = Made(*rest[:2], *(rest[i : i + layers] for i in range(2, len(rest), layers)))
        with torch.cuda.device_of(made.queries):
            return None, *Backward(ctx.settled, given, made, gradients).run()
