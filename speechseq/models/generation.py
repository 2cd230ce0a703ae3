"""Free-running synthesis of a batch: every run ends, says why, and leaves the batch's work."""

from typing import NamedTuple

import torch

from speechseq.arguments import checked_lengths, checked_memory
from speechseq.models.backends.frame_decoder_cpp import packed_run
from speechseq.models.backends.frame_decoder_cpp_weights import packed_decoder
from speechseq.models.backends.frame_decoder_triton_entry import fused_way
from speechseq.models.backends.support import rounded_decoder
from speechseq.models.frame_decoder import FrameDecoder
from speechseq.models.generation_torch import torch_run
from speechseq.nn.frames import ungroup_frames
from speechseq.nn.masks import length_mask
from speechseq.nn.prenet import UtteranceNoise
from speechseq.ops.cuda_graph import graphs_of
from speechseq.ops.quantize import check_precision
from speechseq.shapes import Alignment, Encoded, Lengths, Mel, StepInputs, StopLogits

REASONS = ("stop", "attention_end", "limit")


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


def _checked(
    decoder: FrameDecoder, encoded: Encoded, limits: Lengths, fed: StepInputs | None
) -> tuple[Encoded, Lengths]:
    memory, lengths = encoded
    name, shape = "memory_lengths", memory.shape
    lengths = checked_lengths(lengths, shape, name, least=1, wait=True)
    longest = None if fed is None else fed.shape[1]
    limits = checked_lengths(limits, (len(memory), longest), "limits", least=1, wait=True)
    mask = length_mask(lengths, memory.shape[1])
    return Encoded(checked_memory(memory, mask, decoder.core.cell.context_dim), lengths), limits


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
        ConfigError: another precision, or a memory, limits or `fed` of another shape or type.
        DataError: a length below 1 or beyond the memory, or a limit below 1.
    """
    check_precision(precision)
    encoded, limits = _checked(decoder, encoded, limits, fed)
    packed = None if torch.is_grad_enabled() else packed_decoder(decoder, precision)
    if packed is None:
        alone = torch.is_grad_enabled() or fed is not None  # of which there is no like
        graphs = None if alone else graphs_of(decoder, encoded.memory.device)
        rounded = rounded_decoder(decoder, precision)
        fused = None if graphs is None else fused_way(rounded, precision)
        made = torch_run(rounded, encoded, limits, noise, fed, graphs, fused)
    else:
        made = packed_run(decoder, packed, encoded, limits, noise, fed)
    return FreeRun(
        ungroup_frames(made.frames, decoder.config.reduction_factor),
        made.stop_logits,
        made.alignment,
        made.step_lengths,
        tuple(REASONS[i] for i in made.ending.tolist()),
    )
