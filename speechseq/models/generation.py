"""Free-running synthesis of a batch: choice of backend, decoder loop in torch, rules of ending."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from speechseq.models.backends import frame_decoder_cpp, frame_decoder_graph
from speechseq.models.backends.supported import rounded_decoder
from speechseq.models.decoder_output import Keep, StepOutput, Steps
from speechseq.models.decoder_steps import UNSTEERED, EagerSteps, Steering, WindowedSteps, start
from speechseq.models.frame_decoder import FrameDecoder, FrameDecoderConfig
from speechseq.models.run_inputs import RunInputs
from speechseq.nn.frames import ungroup_frames
from speechseq.nn.masks import length_mask
from speechseq.nn.prenet import UtteranceNoise
from speechseq.nn.rows import select_rows
from speechseq.shapes import Alignment, Encoded, Lengths, Mel, StepInputs, StopLogits

REASONS = ("stop", "attention_end", "limit")
STOP, ATTENTION_END, LIMIT = range(3)


class FreeRun(NamedTuple):
    """Output of a free run of the decoder, zero after each row's own length.

    Attributes:
        mel: (batch, steps * r, mels).
        stop_logits: (batch, steps).
        alignment: (batch, steps, positions).
        step_lengths: (batch), number of steps of each row.
        finished_reason: "stop", "attention_end" or "limit" for each row.
    """

    mel: Mel
    stop_logits: StopLogits
    alignment: Alignment
    step_lengths: Lengths
    finished_reason: tuple[str, ...]


class Ended(NamedTuple):
    """State of the utterances after a block of steps; each field is (rows).

    A row is an utterance that had not ended before the block.

    Attributes:
        steps: number of the block's steps up to the end of the row.
        reason: index into `REASONS` ("stop", "attention_end", "limit"), or -1 if the row goes on.
        resting: number of steps for which attention has now stayed on the last position.
    """

    steps: Tensor
    reason: Tensor
    resting: Tensor


def free_run(
    decoder: FrameDecoder,
    encoded: Encoded,
    limits: Lengths,
    noise: UtteranceNoise | None,
    *,
    precision: str = "float32",
    fed: StepInputs | None = None,
    steering: Steering = UNSTEERED,
) -> FreeRun:
    """Run the decoder on its own frames until every row has ended.

    A row ends when its stop probability exceeds the threshold, when attention has stayed on the
    last position for `attention_end_steps` steps, or at its limit; no further steps of the row are
    computed. On a CPU a C++ kernel runs the steps if it supports the decoder; otherwise `torch_run`
    computes the same with weights rounded in the same way.

    Args:
        decoder: in evaluation mode.
        encoded: the memory and its lengths.
        limits: maximum number of steps (batch) of each row, at least 1.
        noise: dropout masks of the pre-net; None for no dropout.
        precision: "float32", "bfloat16" or "int8", to which the loop's weights are rounded;
            activations and sums are not rounded.
        fed: frames (batch, steps, mels) that each step reads instead of the decoder's own, to
            compare precisions; every row then runs to its limit, without a window.
        steering: window and speed of the attention.

    Raises:
        ConfigError: an unknown precision, an attention that cannot have this window or speed, or
            memory, limits or `fed` of another shape or dtype.
        DataError: a length is below 1 or beyond the memory, or a limit is below 1.
    """
    inputs = RunInputs.checked(
        decoder.core.cell.context_dim, encoded, limits, noise, precision, fed, steering
    )
    run = frame_decoder_cpp.run if _by_kernel(decoder, inputs) else torch_run
    steps = run(decoder, inputs)
    return FreeRun(
        ungroup_frames(steps.frames, decoder.config.reduction_factor),
        steps.stop_logits,
        steps.alignment,
        steps.step_lengths,
        tuple(REASONS[i] for i in steps.ending.tolist()),
    )


def kernel_run(decoder: FrameDecoder, inputs: RunInputs) -> frame_decoder_cpp.KernelRun | None:
    """Begin a run in the C++ kernel, or return None if the kernel does not support it.

    After None, use `torch_steps`.
    """
    return frame_decoder_cpp.KernelRun(decoder, inputs) if _by_kernel(decoder, inputs) else None


def _by_kernel(decoder: FrameDecoder, inputs: RunInputs) -> bool:
    return inputs.steering.length_scale == 1 and frame_decoder_cpp.supported(decoder)


def torch_run(decoder: FrameDecoder, inputs: RunInputs) -> Steps:
    """Run the decoder's steps in torch on any device, in CUDA graphs where supported.

    The decoder is in evaluation mode.
    """
    batch = len(inputs.memory)
    reason = torch.full_like(inputs.memory_lengths, -1)
    step_lengths, collected = torch.zeros_like(reason), _Collected(batch)
    for rows, output, ended in torch_steps(decoder, inputs):
        collected.add(rows, output)
        step_lengths[rows] += ended.steps
        reason[rows] = ended.reason
    longest = int(step_lengths.max())
    frames, stop_logits, alignment = (collected.padded(i, step_lengths, longest) for i in range(3))
    return Steps(frames, stop_logits, alignment, step_lengths, reason)


def torch_steps(
    decoder: FrameDecoder, inputs: RunInputs
) -> Iterator[tuple[Tensor, StepOutput, Ended]]:
    """Iterate over blocks of decoder steps, run in torch; `torch_run` joins them.

    A block is one step, or several if they are replayed as a CUDA graph, which `fed` and a window
    exclude.

    Yields:
        indices (rows) of the utterances that had not ended before the block; their outputs, with an
        axis of steps after the first one; and which of them have ended (`Ended`), whose steps after
        the end are to be discarded.
    """
    advance, noise, fed = _steps(decoder, inputs), inputs.noise, inputs.fed
    batch, positions = inputs.memory_mask.shape
    rows = torch.arange(batch, device=inputs.memory.device)
    resting, step = torch.zeros_like(rows), 0
    places, state = advance.fill(rows), _start(advance, inputs)
    if len(places) > batch:
        state = select_rows(state, places)
    while len(rows):
        if fed is not None:
            state = state._replace(frame=fed[rows, step])
        output, state = advance(state, _keep(noise, step, places, advance.block))
        if noise is not None and advance.block > 1:
            noise.steps(step + advance.block)  # drawn on the host while the device is at work
        output = StepOutput(*(x[: len(rows)] for x in output))
        output = output._replace(weights=output.weights[..., :positions])
        last_position, remaining = inputs.memory_lengths[rows] - 1, inputs.limits[rows] - step
        ended = _ended(decoder.config, output, last_position, remaining, resting[rows], fed is None)
        yield rows, output, ended
        step += advance.block
        resting[rows] = ended.resting
        if (ended.reason >= 0).any():
            going = (ended.reason < 0).nonzero().squeeze(1)
            rows = rows[going]
            places, state = advance.fill(rows), select_rows(state, advance.fill(going))


def _steps(decoder: FrameDecoder, inputs: RunInputs) -> EagerSteps | frame_decoder_graph.GraphSteps:
    window, precision = inputs.steering.window, inputs.precision
    if window is not None and inputs.steering.windowed(decoder):
        return WindowedSteps(rounded_decoder(decoder, precision), window)
    if inputs.fed is None and frame_decoder_graph.supported(decoder):
        return frame_decoder_graph.GraphSteps(decoder, precision)
    return EagerSteps(rounded_decoder(decoder, precision))


def _start(advance: EagerSteps | frame_decoder_graph.GraphSteps, inputs: RunInputs) -> Any:
    """The state before the first step, the number of positions padded to a multiple."""
    more = -inputs.memory.shape[1] % advance.multiple
    memory, mask = F.pad(inputs.memory, (0, 0, 0, more)), F.pad(inputs.memory_mask, (0, more))
    return start(advance, memory, mask, inputs.steering.length_scale)


def _keep(noise: UtteranceNoise | None, step: int, rows: Tensor, steps: int) -> Keep | None:
    """Dropout multipliers of each layer of the pre-net, (rows, steps, size)."""
    if noise is None:
        return None
    first = step % noise.block
    return noise.steps(step)[rows, first : first + steps].split(noise.sizes, dim=-1)


class _Collected:
    """Outputs of all rows, step by step, while rows end one after another."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.rows: list[Tensor] = []
        self.parts: list[StepOutput] = []

    def add(self, rows: Tensor, parts: StepOutput) -> None:
        self.rows.append(rows)
        self.parts.append(parts)

    def padded(self, index: int, step_lengths: Tensor, steps: int) -> Tensor:
        """Part `index` of every step as (batch, steps, …), zero after a row's own last step."""
        first = self.parts[0][index]
        whole = first.new_zeros(self.batch, first.shape[1] * len(self.parts), *first.shape[2:])
        for i, (rows, parts) in enumerate(zip(self.rows, self.parts, strict=True)):
            whole[rows, i * first.shape[1] : (i + 1) * first.shape[1]] = parts[index]
        mask = length_mask(step_lengths, steps)
        return torch.where(mask.view(*mask.shape, *(1,) * (whole.dim() - 2)), whole[:, :steps], 0.0)


def _ended(
    config: FrameDecoderConfig,
    output: StepOutput,
    last_position: Tensor,
    remaining: Tensor,
    resting: Tensor,
    free: bool,
) -> Ended:
    """Apply the rules of ending to some steps; each row may make `remaining` more."""
    steps = output.weights.shape[1]
    time = torch.arange(steps, device=remaining.device)
    on_last = output.weights.argmax(dim=-1) == last_position.unsqueeze(1)
    elsewhere = torch.where(on_last, -1 - resting.unsqueeze(1), time).cummax(1).values
    rested = time - elsewhere
    reason = torch.where(time + 1 >= remaining.unsqueeze(1), LIMIT, -1)
    if free:
        stopped = torch.sigmoid(output.stop_logit) > config.stop_threshold
        reason = reason.masked_fill(rested >= config.attention_end_steps, ATTENTION_END)
        reason = reason.masked_fill(stopped, STOP)
    over = reason >= 0
    last = torch.where(over.any(1), over.long().argmax(1), steps - 1)
    return Ended(last + 1, reason.gather(1, last.unsqueeze(1)).squeeze(1), rested[:, -1])
