"""Free-running synthesis of a batch: every run ends, says why, and leaves the batch's work."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from speechseq.models.frame_decoder import FrameDecoder
from speechseq.models.packed_decoder import packed_decoder, rounded_decoder
from speechseq.models.packed_run import Steps, packed_run
from speechseq.models.packed_weights import check_precision
from speechseq.nn.frames import ungroup_frames
from speechseq.nn.masks import length_mask
from speechseq.nn.prenet import UtteranceNoise
from speechseq.nn.rows import select_rows
from speechseq.shapes import Alignment, Encoded, Lengths, Mel, StepInputs, StopLogits

REASONS = ("stop", "attention_end", "limit")


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards, whatever happened, every part's own mode again."""
    modes = {part: part.training for part in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


class FreeRun(NamedTuple):
    """What the decoder made by itself, each row up to its own length and zero behind it.

    mel (batch, steps * r, mels), stop_logits (batch, steps), alignment (batch, steps, positions),
    step_lengths (batch), finished_reason: "stop", "attention_end" or "limit" for each row.
    """

    mel: Mel
    stop_logits: StopLogits
    alignment: Alignment
    step_lengths: Lengths
    finished_reason: tuple[str, ...]


class _Collected:
    """The steps of all rows, collected as rows leave one after another."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.rows: list[Tensor] = []
        self.parts: list[tuple[Tensor, ...]] = []

    def add(self, rows: Tensor, parts: tuple[Tensor, ...]) -> None:
        self.rows.append(rows)
        self.parts.append(parts)

    def padded(self, index: int) -> Tensor:
        """Part `index` of every step as (batch, steps, …), zero where a row had left."""
        first = self.parts[0][index]
        whole = first.new_zeros(self.batch, len(self.parts), *first.shape[1:])
        for step, (rows, parts) in enumerate(zip(self.rows, self.parts, strict=True)):
            whole[rows, step] = parts[index]
        return whole


def free_run(
    decoder: FrameDecoder,
    encoded: Encoded,
    limits: Lengths,
    noise: UtteranceNoise | None,
    *,
    precision: str = "float32",
    fed: StepInputs | None = None,
) -> FreeRun:
    """Run the decoder on its own frames until each row has ended.

    A row ends with the step whose stop probability passes the threshold, when attention has rested
    on its last position for `attention_end_steps` steps, or at its limit. It then takes no more
    part in any product. On a CPU a kernel makes the steps where it can; torch's operations do the
    same elsewhere, with equally rounded weights.

    Args:
        decoder: in evaluation mode.
        encoded: the memory and its lengths.
        limits: the most steps of each row, at least 1.
        noise: the pre-net's dropout, drawn for each row; None for none.
        precision: "float32", "bfloat16" or "int8", to which the weights of the loop are rounded;
            activations and sums stay as they are.
        fed: frames (batch, steps, mels) that each step reads in the place of the decoder's own, to
            compare precisions by; then every row runs to its limit.

    Raises:
        ConfigError: another precision.
    """
    check_precision(precision)
    packed = None if torch.is_grad_enabled() else packed_decoder(decoder, precision)
    if packed is None:
        made = _run(rounded_decoder(decoder, precision), encoded, limits, noise, fed)
    else:
        made = packed_run(decoder, packed, encoded, limits, noise, fed)
    return FreeRun(
        ungroup_frames(made.frames, decoder.config.reduction_factor),
        made.stop_logits,
        made.alignment,
        made.step_lengths,
        tuple(REASONS[i] for i in made.ending.tolist()),
    )


def _run(
    decoder: FrameDecoder,
    encoded: Encoded,
    limits: Lengths,
    noise: UtteranceNoise | None,
    fed: StepInputs | None,
) -> Steps:
    config, device = decoder.config, encoded.memory.device
    batch, positions = encoded.memory.shape[:2]
    state = decoder.start(encoded.memory, length_mask(encoded.memory_lengths, positions))
    ready = decoder.core.recurring()
    rows = torch.arange(batch, device=device)
    resting = torch.zeros(batch, dtype=torch.long, device=device)
    reason = torch.full((batch,), -1, device=device)
    step_lengths = torch.zeros(batch, dtype=torch.long, device=device)
    last_position = encoded.memory_lengths - 1
    steps, step = _Collected(batch), 0
    while len(rows):
        keep = noise.keep(step, rows) if noise else None
        if fed is not None:
            state = state._replace(frame=fed[rows, step])
        output, state = decoder.step(state, ready, keep)
        steps.add(rows, output)
        step += 1
        on_last = output.weights.argmax(dim=-1) == last_position[rows]
        resting[rows] = torch.where(on_last, resting[rows] + 1, 0)
        why = torch.where(step >= limits[rows], 2, -1)
        if fed is None:
            rested = resting[rows] >= config.attention_end_steps
            stopped = torch.sigmoid(output.stop_logit) > config.stop_threshold
            why = why.masked_fill(rested, 1).masked_fill(stopped, 0)
        reason[rows], step_lengths[rows] = why, step
        if (why >= 0).any():
            going = (why < 0).nonzero().squeeze(1)
            rows, state = rows[going], select_rows(state, going)
    frames, stop_logits, alignment = (steps.padded(part) for part in range(3))
    return Steps(frames, stop_logits, alignment, step_lengths, reason)
