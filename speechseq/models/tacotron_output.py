"""Outputs of a Tacotron, teacher-forced and free-running."""

import dataclasses
from collections.abc import Callable

from torch import Tensor

from speechseq.models.decoder_output import CoarseOutput, DecoderOutput
from speechseq.models.generation import FreeRun
from speechseq.models.style.latent import Latent
from speechseq.nn.masks import length_mask, zero_padding
from speechseq.shapes import Alignment, Lengths, Magnitude, Mel, StopLogits


@dataclasses.dataclass(frozen=True, kw_only=True)
class TacotronOutput:
    """Teacher-forced output of a Tacotron; there are steps * r frames, r the reduction factor.

    The alignment is zero after each row's last step.

    Attributes:
        mel_before, mel_after: (batch, frames, mels), before and after the post-net.
        log_magnitude: (batch, frames, bins), or None if the post-net predicts no linear spectrum.
        stop_logits: (batch, steps), whose sigmoid is the probability that speech ends.
        alignment: (batch, steps, positions), attention weights.
        step_lengths: (batch), number of steps of each row.
        latent: style of each row; None for a model without a style.
        penalties: weighted terms of the style's penalty, by name.
        coarse: output of the second decoder, with mels as `mel_before`; None without one.
    """

    mel_before: Mel
    mel_after: Mel
    log_magnitude: Magnitude | None
    stop_logits: StopLogits
    alignment: Alignment
    step_lengths: Lengths
    latent: Latent | None = None
    penalties: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    coarse: CoarseOutput | None = None

    @classmethod
    def of(
        cls,
        decoded: DecoderOutput,
        step_lengths: Lengths,
        outward: Callable[[Tensor], Tensor],
        *,
        mel_after: Mel,
        log_magnitude: Magnitude | None,
        latent: Latent | None,
        penalties: dict[str, Tensor],
    ) -> "TacotronOutput":
        """Combine the outputs of decoder and post-net.

        Args:
            decoded: output of the decoder.
            step_lengths: (batch), number of steps of each row.
            outward: function that maps the decoder's mels to log-mels (`Tacotron.outward`).
            mel_after, log_magnitude, latent, penalties: fields of the result.
        """
        coarse = decoded.coarse
        steps = length_mask(step_lengths, decoded.alignment.shape[1])
        return cls(
            mel_before=outward(decoded.mel),
            mel_after=mel_after,
            log_magnitude=log_magnitude,
            stop_logits=decoded.stop_logits,
            alignment=zero_padding(decoded.alignment, steps),
            step_lengths=step_lengths,
            latent=latent,
            penalties=penalties,
            coarse=None if coarse is None else coarse._replace(mel=outward(coarse.mel)),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generated:
    """Free-running output of a Tacotron, zero after each row's own length.

    Attributes:
        mel_after: (batch, frames, mels), after the post-net.
        log_magnitude: (batch, frames, bins), or None if the post-net predicts no linear spectrum.
        frame_lengths, step_lengths: (batch), number of frames and of decoder steps of each row.
        alignment: (batch, steps, positions), attention weights.
        stop_logits: (batch, steps), whose sigmoid is the probability that speech ends.
        finished_reason: why each row ended: "stop" (stop probability), "attention_end" (attention
            stayed on the last symbol) or "limit" (the maximum number of steps).
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
        """Return the output of a free run together with the features that the post-net made.

        Args:
            run: result of the decoder loop.
            mel_after, log_magnitude: (batch, frames, mels) and (batch, frames, bins) or None.
            frame_lengths: (batch), number of valid frames.
            latent: style of each row, or None.
        """
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
