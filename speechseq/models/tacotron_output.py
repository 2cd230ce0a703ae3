"""Outputs of a Tacotron, teacher-forced and free-running."""

import dataclasses

from torch import Tensor

from speechseq.models.generation import FreeRun
from speechseq.models.style.latent import Latent
from speechseq.shapes import Alignment, Lengths, Magnitude, Mel, StopLogits


@dataclasses.dataclass(frozen=True, kw_only=True)
class TacotronOutput:
    """Teacher-forced output; there are steps * r frames, r the reduction factor.

    The alignment is zero after each row's last step.

    Attributes:
        mel_before, mel_after: (batch, frames, mels), before and after the post-net.
        log_magnitude: (batch, frames, bins), or None if the post-net predicts no linear spectrum.
        stop_logits: (batch, steps).
        alignment: (batch, steps, positions).
        step_lengths: (batch), number of steps of each row.
        latent: style of each row; None for a model without a style.
        penalties: weighted terms of the style's penalty, by name.
    """

    mel_before: Mel
    mel_after: Mel
    log_magnitude: Magnitude | None
    stop_logits: StopLogits
    alignment: Alignment
    step_lengths: Lengths
    latent: Latent | None = None
    penalties: dict[str, Tensor] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generated:
    """Free-running output, zero after each row's own length.

    Attributes:
        mel_after: (batch, frames, mels), after the post-net.
        log_magnitude: (batch, frames, bins), or None if the post-net predicts no linear spectrum.
        frame_lengths, step_lengths: (batch).
        alignment: (batch, steps, positions).
        stop_logits: (batch, steps).
        finished_reason: "stop", "attention_end" or "limit" for each row.
        latent: style that each row was given; None for a model without a style.
    """

    mel_after: Mel
    log_magnitude: Magnitude | None
    frame_lengths: Lengths
    step_lengths: Lengths
    alignment: Alignment
    stop_logits: StopLogits
    finished_reason: tuple[str, ...]
    latent: Latent | None = None

    @classmethod
    def of(
        cls,
        run: FreeRun,
        mel_after: Mel,
        log_magnitude: Magnitude | None,
        frame_lengths: Lengths,
        latent: Latent | None,
    ) -> "Generated":
        """Return the output of a free run with what the post-net made of its frames."""
        return cls(
            mel_after=mel_after,
            log_magnitude=log_magnitude,
            frame_lengths=frame_lengths,
            step_lengths=run.step_lengths,
            alignment=run.alignment,
            stop_logits=run.stop_logits,
            finished_reason=run.finished_reason,
            latent=latent,
        )
