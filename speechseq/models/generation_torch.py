"""A frame decoder's free run in torch's operations, on any machine, a few steps at a time."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from speechseq.models.frame_decoder import (
    DecoderState,
    FrameDecoder,
    FrameDecoderConfig,
    StepOutput,
    Steps,
)
from speechseq.nn.attention_rnn import StepWeights
from speechseq.nn.attention_rnn_fast import BUCKET_POSITIONS
from speechseq.nn.masks import length_mask
from speechseq.nn.prenet import UtteranceNoise
from speechseq.nn.rows import select_rows
from speechseq.ops.cuda_graph import Graphs
from speechseq.shapes import Encoded, Lengths, StepInputs

STOP, ATTENTION_END, LIMIT = range(3)
Keep = tuple[Tensor, ...]  # multipliers of the pre-net's layers, each (rows, steps, size)
Advance = Callable[[DecoderState, Keep | None], tuple[StepOutput, DecoderState]]


class _Ended(NamedTuple):
    """Of rows that made some steps: how many of these count, why they ended (-1: they go on), and
    for how many steps attention has now rested on their last position."""

    steps: Tensor
    why: Tensor
    resting: Tensor


class _Collected:
    """The steps of all rows, collected as rows leave one after another."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.rows: list[Tensor] = []
        self.parts: list[StepOutput] = []

    def add(self, rows: Tensor, parts: StepOutput) -> None:
        self.rows.append(rows)
        self.parts.append(parts)

    def padded(self, index: int, step_lengths: Tensor, steps: int) -> Tensor:
        """Part `index` of every step as (batch, steps, …), zero behind a row's own."""
        first = self.parts[0][index]
        whole = first.new_zeros(self.batch, first.shape[1] * len(self.parts), *first.shape[2:])
        for i, (rows, parts) in enumerate(zip(self.rows, self.parts, strict=True)):
            whole[rows, i * first.shape[1] : (i + 1) * first.shape[1]] = parts[index]
        mask = length_mask(step_lengths, steps)
        return torch.where(mask.view(*mask.shape, *(1,) * (whole.dim() - 2)), whole[:, :steps], 0.0)


def torch_run(
    decoder: FrameDecoder,
    encoded: Encoded,
    limits: Lengths,
    noise: UtteranceNoise | None,
    fed: StepInputs | None,
    graphs: Graphs | None = None,
    fused: Callable[..., Any] | None = None,
) -> Steps:
    """As `free_run`; with graphs, many steps at once of a power of two of rows, `fused` if it can.

    The host then looks only behind each block for who has ended: what a row makes beyond its end
    costs time and is cut off. No frames can be fed to graphs.
    """
    block = 1 if graphs is None else UtteranceNoise.block
    batch, positions = encoded.memory.shape[:2]
    places = rows = torch.arange(batch, device=encoded.memory.device)
    reason = torch.full_like(rows, -1)
    step_lengths, resting = torch.zeros_like(rows), torch.zeros_like(rows)
    state = _start(decoder, encoded, 1 if graphs is None else BUCKET_POSITIONS)
    if graphs is not None:
        places = _filled(rows)
        state = select_rows(state, places)
    go_on = _advancing(decoder, block, graphs, fused)
    made, step = _Collected(batch), 0
    while len(rows):
        if fed is not None:
            state = state._replace(frame=fed[rows, step])
        output, state = go_on(state, _keep(noise, step, places, block))
        if noise is not None and graphs is not None:
            noise.steps(step + block)  # drawn on the host while the device is at work
        output = StepOutput(*(x[: len(rows)] for x in output))
        output = output._replace(weights=output.weights[..., :positions])
        made.add(rows, output)
        last_position, left = encoded.memory_lengths[rows] - 1, limits[rows] - step
        ended = _ended(decoder.config, output, last_position, left, resting[rows], fed is None)
        step += block
        step_lengths[rows] += ended.steps
        resting[rows], reason[rows] = ended.resting, ended.why
        if (ended.why >= 0).any():
            going = (ended.why < 0).nonzero().squeeze(1)
            rows = places = rows[going]
            if graphs is not None:
                going, places = _filled(going), _filled(rows)
            state = select_rows(state, going)
    longest = int(step_lengths.max())
    frames, stop_logits, alignment = (made.padded(i, step_lengths, longest) for i in range(3))
    return Steps(frames, stop_logits, alignment, step_lengths, reason)


def _start(decoder: FrameDecoder, encoded: Encoded, multiple: int) -> DecoderState:
    """The state before the first step, positions rounded up."""
    memory = F.pad(encoded.memory, (0, 0, 0, -encoded.memory.shape[1] % multiple))
    return decoder.start(memory, length_mask(encoded.memory_lengths, memory.shape[1]))


def _filled(rows: Tensor) -> Tensor:
    """The last row again and again, up to a power of two; none for none."""
    width = 1 << (len(rows) - 1).bit_length() if len(rows) else 0
    return rows[torch.arange(width, device=rows.device).clamp(max=len(rows) - 1)]


def _keep(noise: UtteranceNoise | None, step: int, rows: Tensor, steps: int) -> Keep | None:
    """Multipliers of each layer of the pre-net, (rows, steps, size)."""
    if noise is None:
        return None
    first = step % noise.block
    return noise.steps(step)[rows, first : first + steps].split(noise.sizes, dim=-1)


def _advancing(
    decoder: FrameDecoder, block: int, graphs: Graphs | None, fused: Callable[..., Any] | None
) -> Advance:
    """What makes the next steps: output (rows, steps, …) and the state behind them."""
    if graphs is None:
        return functools.partial(advance, decoder, block, decoder.core.prepare())
    one_by_one = functools.partial(advance, decoder, block, None)
    function = one_by_one if fused is None else functools.partial(fused, block)
    weights = tuple(decoder.parameters())
    key = block, decoder.core.attention.reading, fused is None
    return lambda state, keep: graphs(function, (state, keep), weights, key)


def advance(
    decoder: FrameDecoder,
    steps: int,
    ready: StepWeights | None,
    state: DecoderState,
    keep: Keep | None,
) -> tuple[StepOutput, DecoderState]:
    """So many steps: outputs (rows, steps, …), and the state behind them.

    `ready` is made here if it is missing; a graph so reads the weights as they are now.
    """
    ready = ready or decoder.core.prepare()
    outputs = []
    for t in range(steps):
        chance = None if keep is None else [x[:, t] for x in keep]
        output, state = decoder.step(state, ready, chance)
        outputs.append(output)
    return StepOutput(*(torch.stack(x, dim=1) for x in zip(*outputs, strict=True))), state


def _ended(
    config: FrameDecoderConfig,
    output: StepOutput,
    last_position: Tensor,
    left: Tensor,
    resting: Tensor,
    free: bool,
) -> _Ended:
    """What the steps just made end; `left` is how many each row might have made."""
    steps = output.weights.shape[1]
    time = torch.arange(steps, device=left.device)
    on_last = output.weights.argmax(dim=-1) == last_position.unsqueeze(1)
    elsewhere = torch.where(on_last, -1 - resting.unsqueeze(1), time).cummax(1).values
    rested = time - elsewhere
    why = torch.where(time + 1 >= left.unsqueeze(1), LIMIT, -1)
    if free:
        stopped = torch.sigmoid(output.stop_logit) > config.stop_threshold
        why = why.masked_fill(rested >= config.attention_end_steps, ATTENTION_END)
        why = why.masked_fill(stopped, STOP)
    over = why >= 0
    last = torch.where(over.any(1), over.long().argmax(1), steps - 1)
    return _Ended(last + 1, why.gather(1, last.unsqueeze(1)).squeeze(1), rested[:, -1])
