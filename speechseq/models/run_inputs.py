"""Inputs of a free run of the frame decoder, checked once, where the run begins."""

from typing import NamedTuple

from speechseq.arguments import checked_lengths, checked_memory
from speechseq.models.decoder_steps import UNSTEERED, Steering
from speechseq.nn.masks import length_mask
from speechseq.nn.prenet import UtteranceNoise
from speechseq.ops.quantize import check_precision
from speechseq.shapes import Encoded, Lengths, Memory, MemoryMask, StepInputs


class RunInputs(NamedTuple):
    """Inputs of a free run of the frame decoder; every backend takes them as they are.

    `RunInputs.checked` builds them.

    Attributes:
        memory: (batch, positions, memory_dim), output of the encoder.
        memory_lengths: (batch), int64.
        memory_mask: (batch, positions), True at the first `memory_lengths` positions.
        limits: (batch), int64, maximum number of steps of each row.
        noise: dropout masks of the pre-net; None for no dropout.
        precision: "float32", "bfloat16" or "int8", to which the loop's weights are rounded.
        fed: frames (batch, steps, mels) that each step reads; None: each step reads the last frame
            that the step before made.
        steering: window and speed of the attention.
    """

    memory: Memory
    memory_lengths: Lengths
    memory_mask: MemoryMask
    limits: Lengths
    noise: UtteranceNoise | None
    precision: str
    fed: StepInputs | None
    steering: Steering

    @classmethod
    def checked(
        cls,
        memory_dim: int,
        encoded: Encoded,
        limits: Lengths,
        noise: UtteranceNoise | None,
        precision: str,
        fed: StepInputs | None,
        steering: Steering,
    ) -> "RunInputs":
        """Check the arguments of `speechseq.models.generation.free_run`, which describes them.

        `memory_dim` is the width of the memory that the decoder was built for.

        Raises:
            ConfigError: an unknown precision, or memory, lengths or limits of another shape or
                dtype.
            DataError: a length is below 1 or beyond the memory, or a limit is below 1 or beyond the
                frames in `fed`.
        """
        check_precision(precision)
        memory, lengths = encoded
        lengths = checked_lengths(lengths, memory.shape, "memory_lengths", least=1, wait=True)
        longest = None if fed is None else fed.shape[1]
        limits = checked_lengths(limits, (len(memory), longest), "limits", least=1, wait=True)
        mask = length_mask(lengths, memory.shape[1])
        checked_memory(memory, mask, memory_dim)
        steering = steering if fed is None else UNSTEERED
        return cls(memory, lengths, mask, limits, noise, precision, fed, steering)
