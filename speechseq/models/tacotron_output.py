"""Outputs of a Tacotron, teacher-forced and free-running."""

import dataclasses

from torch import Tensor

from speechseq.models.style.latent import Latent
from speechseq.shapes import Alignment, Lengths, Magnitude, Mel, StopLogits


@dataclasses.dataclass(frozen=True, kw_only=True)
class TacotronOutput:
    """Teacher-forced output; frames are steps * r, alignment is zero after each row's steps.

    latent: the style of each row, None for a model without one; penalties: its weighted terms.
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
    """Free-running output, each row zero after its own length.

    mel_after (batch, frames, mels), log_magnitude (batch, frames, bins) or None, frame_lengths and
    step_lengths (batch), alignment (batch, steps, positions), finished_reason ("stop",
    "attention_end" or "limit") for each row, and latent, the style that each row was given.
    """

    mel_after: Mel
    log_magnitude: Magnitude | None
    frame_lengths: Lengths
    step_lengths: Lengths
    alignment: Alignment
    stop_logits: StopLogits
    finished_reason: tuple[str, ...]
    latent: Latent | None = None
