"""Loss of a Tacotron, as named terms: mel, linear spectrum, stop, guided attention, style."""

import dataclasses
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.arguments import checked_lengths
from speechseq.batch import TTSBatch
from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.models.consistency import alignment_consistency
from speechseq.models.loss_terms import Losses, fade, guided_attention_loss
from speechseq.models.tacotron_output import TacotronOutput
from speechseq.nn.masks import length_mask
from speechseq.nn.precision import at_least_float32
from speechseq.ops.varlen import gather_rows
from speechseq.ranges import Factor, Range, Share, Weight
from speechseq.shapes import Lengths, Mask, Scalar, Sequence, StopLogits


@dataclasses.dataclass(frozen=True, kw_only=True)
class TacotronLossConfig(Config):
    """Weights of the terms of `TacotronLoss`; the defaults are Tacotron 2's (Shen 2018, §2.2).

    Attributes:
        mse, l1: weights of squared and absolute error of the mel, before and after the post-net.
        linear: weight of the absolute error of the linear spectrum.
        low_frequency_share: fraction of `linear` for the error of the lowest `low_frequency_bins`
            alone; the rest is for all bins. Public implementations of Tacotron take half for 0 to 3
            kHz.
        stop: weight of the stop loss; `stop_positive_weight` applies to the last step of each row.
        guide: weight of guided attention, a penalty on weights far from the diagonal.
        guide_sigma: width of the diagonal, as a fraction of the length.
        guide_half_life: updates after which the weight of guided attention has halved; 0 keeps it.
        coarse: weight of mel and stop loss of the coarse decoder, if the model has one.
        consistency: weight of the difference of both decoders' alignments.
    """

    mse: Weight = 1.0
    l1: Weight = 0.0
    linear: Weight = 1.0
    low_frequency_share: Share = 0.0
    low_frequency_bins: Annotated[int, Range(0, 16_385)] = 0
    stop: Weight = 1.0
    stop_positive_weight: Weight = 1.0
    guide: Weight = 0.0
    guide_sigma: Factor = 0.4
    guide_half_life: Annotated[float, Range(0, 1e12)] = 0.0
    coarse: Weight = 1.0
    consistency: Weight = 1.0

    def check(self) -> None:
        """Raise ConfigError if `low_frequency_share` is set without `low_frequency_bins`."""
        if self.low_frequency_share and self.low_frequency_bins < 1:
            raise ConfigError(
                f"low_frequency_bins: {self.low_frequency_bins} bins cannot carry a share of "
                f"{self.low_frequency_share}",
                "give the number of bins below, say, 3 kHz",
            )


class TacotronLoss(nn.Module):
    """Loss of a `Tacotron`: mel, linear spectrum, stop, guided attention and the style's penalty.

    Called as `loss(model(batch), batch, update=...)`. All terms are means over valid frames and
    steps; padding is never read.

    Args:
        config: weights of the terms.

    Examples:
        >>> criterion = TacotronLoss(TacotronLossConfig(guide=10.0))
        >>> losses = criterion(model(batch), batch, update=100)
        >>> losses.total.backward()
        >>> list(losses.terms)
        ['mel_before', 'mel_after', 'stop', 'guide']
    """

    def __init__(self, config: TacotronLossConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, output: TacotronOutput, batch: TTSBatch, *, update: int = 0) -> Losses:
        """Return the weighted terms by name, and their total.

        Args:
            output: result of the model for `batch`.
            batch: texts and target mels.
            update: number of optimizer updates; guided attention fades with it.

        Raises:
            ConfigError: the output has a linear spectrum, and the batch has none or one of another
                size.
        """
        config = self.config
        frames = length_mask(batch.frame_lengths, batch.mel.shape[1])
        terms = {"mel_before": self._mel(output.mel_before, batch.mel, frames)}
        if output.log_magnitude is None:
            terms["mel_after"] = self._mel(output.mel_after, batch.mel, frames)
        elif config.linear:
            true = _linear_target(batch, output.log_magnitude.shape[2])
            terms["linear"] = config.linear * self._linear(output.log_magnitude, true, frames)
        terms["stop"] = config.stop * stop_loss(
            output.stop_logits, output.step_lengths, config.stop_positive_weight
        )
        guide = config.guide * fade(update, config.guide_half_life)
        if guide:
            terms["guide"] = guide * guided_attention_loss(
                output.alignment, output.step_lengths, batch.token_lengths, config.guide_sigma
            )
        terms |= self._of_coarse(output, batch, frames) | output.penalties
        return Losses(torch.stack(list(terms.values())).sum(), terms)

    def _of_coarse(
        self, output: TacotronOutput, batch: TTSBatch, frames: Mask
    ) -> dict[str, Tensor]:
        """Terms of the coarse decoder; {} for an output without one."""
        config, coarse = self.config, output.coarse
        if coarse is None:
            return {}
        weight = config.stop_positive_weight
        stop = config.stop * stop_loss(coarse.stop_logits, coarse.step_lengths, weight)
        alignments = output.alignment, coarse.alignment
        lengths = output.step_lengths, coarse.step_lengths, batch.token_lengths
        difference = alignment_consistency(*alignments, *lengths, ratio=coarse.ratio)
        return {
            "coarse": config.coarse * (self._mel(coarse.mel, batch.mel, frames) + stop),
            "consistency": config.consistency * difference,
        }

    def _mel(self, output: Tensor, true: Tensor, mask: Mask) -> Tensor:
        difference = valid_difference(output, true, mask)
        count = mask.sum() * true.shape[-1]
        square, absolute = difference.square().sum() / count, difference.abs().sum() / count
        return self.config.mse * square + self.config.l1 * absolute

    def _linear(self, output: Tensor, true: Tensor, mask: Mask) -> Tensor:
        share, low = self.config.low_frequency_share, self.config.low_frequency_bins
        difference = valid_difference(output, true, mask).abs()
        frames = mask.sum()
        mean = difference.sum() / (frames * true.shape[-1])
        if not share:
            return mean
        return (1 - share) * mean + share * difference[..., :low].sum() / (frames * low)


def _linear_target(batch: TTSBatch, bins: int) -> Tensor:
    if batch.log_magnitude is None:
        raise ConfigError(
            "log_magnitude: the model makes a linear spectrum and the batch has none",
            "collate with log_magnitude=True, or weigh the term with 0: --loss.linear 0",
        )
    if batch.log_magnitude.shape[2] != bins:
        raise ConfigError(
            f"log_magnitude: the batch has {batch.log_magnitude.shape[2]} bins, the model {bins}",
            "build(..., bins=audio.bins) with the AudioConfig that made the batch",
        )
    return batch.log_magnitude


def valid_difference(
    output: Float[Tensor, "batch longer channels"], true: Sequence, mask: Mask
) -> Float[Tensor, "valid channels"]:
    """Compute output - true at the valid positions of all rows.

    Args:
        output: (batch, longer, channels), which may be longer by part of a last step.
        true: (batch, time, channels), the target.
        mask: (batch, time), True = valid.

    Returns:
        Differences (valid, channels), where valid is the number of valid positions of all rows.
    """
    valid = mask.flatten().nonzero().squeeze(1)
    both = (x.flatten(0, 1) for x in (output[:, : true.shape[1]], true))
    output, true = (at_least_float32(gather_rows(x, valid)) for x in both)
    return output - true


def stop_loss(
    stop_logits: StopLogits, step_lengths: Lengths, positive_weight: float = 1.0
) -> Scalar:
    """Compute the binary cross-entropy of stop logits; the target is 1 at each row's last step.

    Args:
        stop_logits: (batch, steps).
        step_lengths: (batch), number of steps of each row.
        positive_weight: weight of the last step, the only positive one of a row.

    Returns:
        A scalar, the mean over valid steps in nats.
    """
    step_lengths = checked_lengths(step_lengths, stop_logits.shape, "step_lengths")
    mask = length_mask(step_lengths, stop_logits.shape[1])
    steps = torch.arange(stop_logits.shape[1], device=stop_logits.device)
    logits = at_least_float32(stop_logits[mask])
    target = (steps == (step_lengths - 1).unsqueeze(1))[mask].to(logits)
    weight = torch.tensor(positive_weight, device=logits.device)
    return F.binary_cross_entropy_with_logits(logits, target, pos_weight=weight)
