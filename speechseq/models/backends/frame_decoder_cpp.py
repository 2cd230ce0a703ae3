"""A frame decoder's free run in the kernel, a block of steps at a time."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from speechseq.models.backends.frame_decoder_cpp_weights import KERNEL, PackedDecoder
from speechseq.models.frame_decoder import FrameDecoder, Steps
from speechseq.nn.attention.location_sensitive import LocationSensitiveAttention
from speechseq.nn.masks import length_mask
from speechseq.nn.prenet import UtteranceNoise
from speechseq.ops.cpp.library import call
from speechseq.shapes import Encoded, Lengths, StepInputs


class _Read(NamedTuple):
    """What attention reads, as the kernel wants it: memory (batch, positions, memory_dim), keys
    (batch, positions, dim), history (batch, channels, reach + positions + reach)."""

    memory: Tensor
    keys: Tensor
    history: Tensor


def packed_run(
    decoder: FrameDecoder,
    packed: PackedDecoder,
    encoded: Encoded,
    limits: Lengths,
    noise: UtteranceNoise | None,
    fed: StepInputs | None,
) -> Steps:
    """As `free_run`, in the kernel; batch-first tensors of its own hold what it remembers."""
    batch, positions = encoded.memory.shape[:2]
    read = _read(decoder, encoded)
    lengths, limits = encoded.memory_lengths.contiguous(), limits.contiguous()
    row_size = torch.zeros(1, dtype=torch.long)
    call(KERNEL, "row_size", packed.numbers, row_size, positions)
    working = torch.zeros(batch, int(row_size))
    resting, ending, step_lengths = torch.tensor([[0], [-1], [0]]).repeat(1, batch).unbind()
    blocks: list[tuple[Tensor, ...]] = []
    step, most = 0, int(limits.max())
    while bool((ending < 0).any()):
        steps = min(UtteranceNoise.block, most - step)
        keep = None if noise is None else noise.steps(step)[:, :steps].contiguous()
        given = None if fed is None else fed[:, step : step + steps].float().contiguous()
        blocks.append(_nothing_yet(decoder, batch, steps, positions))
        call(
            *(KERNEL, "decode", packed.numbers, packed.matrices, packed.direction, *read, working),
            *(keep, given, lengths, limits, resting, ending, step_lengths, *blocks[-1]),
            *(batch, positions, step, steps, decoder.core.cell.zoneout),
            *(decoder.stack.cells[0].zoneout, decoder.config.stop_threshold),
        )
        step += steps
    frames, stop_logits, alignment = (
        torch.cat(parts, dim=1)[:, : int(step_lengths.max())] for parts in zip(*blocks, strict=True)
    )
    return Steps(frames, stop_logits, alignment, step_lengths, ending)


def _read(decoder: FrameDecoder, encoded: Encoded) -> _Read:
    attention = decoder.core.attention
    memory_mask = length_mask(encoded.memory_lengths, encoded.memory.shape[1])
    state = attention.start(encoded.memory.float(), memory_mask)
    history = encoded.memory.new_empty(len(encoded.memory), 0, encoded.memory.shape[1])
    if isinstance(attention, LocationSensitiveAttention):
        history = F.pad(state.history, (attention.reach, attention.reach)).contiguous()
    return _Read(state.memory.contiguous(), state.keys.float().contiguous(), history)


def _nothing_yet(
    decoder: FrameDecoder, batch: int, steps: int, positions: int
) -> tuple[Tensor, ...]:
    """Where a block's frames, stop logits and weights go; what no row fills stays zero."""
    shapes = (
        (batch, steps, decoder.frames.out_features),
        (batch, steps),
        (batch, steps, positions),
    )
    return tuple(torch.zeros(shape) for shape in shapes)
