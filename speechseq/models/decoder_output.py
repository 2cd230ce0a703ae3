"""Outputs and states of the frame decoder, teacher-forced and free-running."""

from typing import NamedTuple

from torch import Tensor

from speechseq.nn.attention_rnn import AttentionRNNState
from speechseq.shapes import Alignment, Grouped, Lengths, Mel, StopLogits

Keep = tuple[Tensor, ...]  # dropout multipliers of the pre-net's layers, each (rows, steps, size)


class CoarseOutput(NamedTuple):
    """Teacher-forced output of the second, coarse decoder of double decoder consistency.

    Attributes:
        mel: (batch, coarse steps * R, mels), R its reduction factor.
        stop_logits: (batch, coarse steps), whose sigmoid is the probability that speech ends.
        alignment: (batch, coarse steps, positions), attention weights.
        step_lengths: (batch), number of coarse steps of each row.
        ratio: number of the decoder's steps that a coarse step covers.
    """

    mel: Mel
    stop_logits: StopLogits
    alignment: Alignment
    step_lengths: Lengths
    ratio: int

    @classmethod
    def of(
        cls, output: "DecoderOutput", frame_lengths: Lengths, coarse_factor: int, fine_factor: int
    ) -> "CoarseOutput":
        """Convert the output of a coarse decoder to a `CoarseOutput`.

        Args:
            output: teacher-forced output of the coarse decoder.
            frame_lengths: (batch), number of valid frames.
            coarse_factor: its reduction factor, a multiple of `fine_factor`.
            fine_factor: reduction factor of the main decoder.
        """
        steps, ratio = -(-frame_lengths // coarse_factor), coarse_factor // fine_factor
        return cls(output.mel, output.stop_logits, output.alignment, steps, ratio)


class DecoderOutput(NamedTuple):
    """Teacher-forced output of the decoder; a step makes r frames.

    Attributes:
        mel: (batch, steps * r, mels), frames on the network's scale.
        stop_logits: (batch, steps), whose sigmoid is the probability that speech ends.
        alignment: (batch, steps, positions), attention weights.
        coarse: output of a second decoder, in training with one; otherwise None.
    """

    mel: Mel
    stop_logits: StopLogits
    alignment: Alignment
    coarse: CoarseOutput | None = None


class DecoderState(NamedTuple):
    """State between two free-running steps.

    Attributes:
        core: state of the attention RNN and its attention.
        stack: state of the RNN stack above it, one entry per cell.
        frame: (batch, mels), last frame of the previous step.
    """

    core: AttentionRNNState
    stack: tuple
    frame: Tensor


class StepOutput(NamedTuple):
    """Output of one free-running step, or of several, with an axis of steps after the batch.

    Attributes:
        frames: (batch, r * mels), the step's r frames one after another.
        stop_logit: (batch), whose sigmoid is the probability that speech ends.
        weights: (batch, positions), attention weights.
    """

    frames: Tensor
    stop_logit: Tensor
    weights: Tensor


class Steps(NamedTuple):
    """Outputs of all steps of a free run, zero after each row's own last step.

    Attributes:
        frames: (batch, steps, r * mels), the r frames of each step one after another.
        stop_logits: (batch, steps), whose sigmoid is the probability that speech ends.
        alignment: (batch, steps, positions), attention weights.
        step_lengths: (batch), number of steps of each row.
        ending: (batch), reason for the end of each row: 0 stop probability, 1 attention stayed on
            the last position, 2 limit of steps.
    """

    frames: Grouped
    stop_logits: StopLogits
    alignment: Alignment
    step_lengths: Lengths
    ending: Lengths
