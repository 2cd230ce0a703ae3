"""Loss of a recogniser: cross-entropy, CTC and guided attention, masked, as named terms."""

import dataclasses
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.arguments import checked_ids, checked_lengths, checked_tokens
from speechseq.batch import ASRBatch
from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.models.las import LASOutput
from speechseq.models.loss_terms import Losses, fade, guided_attention_loss
from speechseq.models.speller import NEVER
from speechseq.nn.masks import length_mask
from speechseq.ranges import Factor, Range, Share, Update, Weight
from speechseq.shapes import Lengths, LogProbs, Scalar, Tokens
from speechseq.text.vocabulary import BLANK


@dataclasses.dataclass(frozen=True, kw_only=True)
class LASLossConfig(Config):
    """Weights of the terms of `LASLoss`; the defaults are pure attention without smoothing.

    Attributes:
        label_smoothing: fraction of the target spread evenly over all symbols (SpecAugment .1).
        ctc: weight of CTC in the total; the cross-entropy of the attention gets 1 - ctc (Watanabe
            2017: .3 to .5).
        ctc_last: final weight of CTC, which changes linearly from update `ctc_from` to `ctc_to`.
        guide: weight of guided attention, a penalty on weights far from the diagonal.
        guide_sigma: width of the diagonal, as a fraction of the length.
        guide_half_life: updates after which the weight of guided attention has halved; 0 keeps it.
    """

    label_smoothing: Share = 0.0
    ctc: Share = 0.0
    ctc_last: Share = 0.0
    ctc_from: Update = 0
    ctc_to: Update = 0
    guide: Weight = 0.0
    guide_sigma: Factor = 0.4
    guide_half_life: Annotated[float, Range(0, 1e12)] = 0.0

    def check(self) -> None:
        """Raise ConfigError for a schedule whose end is before its start."""
        if self.ctc_from > self.ctc_to:
            raise ConfigError(f"ctc_to: {self.ctc_to} comes before ctc_from {self.ctc_from}")

    def ctc_at(self, update: int) -> float:
        """Return the weight of CTC, from 0 to 1, at an optimizer update."""
        if self.ctc_to == 0:
            return self.ctc
        progress = (update - self.ctc_from) / max(1, self.ctc_to - self.ctc_from)
        return self.ctc + (self.ctc_last - self.ctc) * min(1.0, max(0.0, progress))


class LASLoss(nn.Module):
    """Loss of a `LAS`: cross-entropy of the symbols, CTC and guided attention.

    Called as `loss(model(batch), batch, update=...)`. All terms are means over valid tokens;
    padding has no effect.

    Args:
        config: weights of the terms.

    Examples:
        >>> criterion = LASLoss(LASLossConfig(label_smoothing=0.1))
        >>> losses = criterion(model(batch), batch, update=100)
        >>> losses.total.backward()
    """

    def __init__(self, config: LASLossConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, output: LASOutput, batch: ASRBatch, *, update: int = 0) -> Losses:
        """Return the weighted terms by name, and their total.

        Args:
            output: result of the model for `batch`.
            batch: features and target tokens.
            update: number of optimizer updates, on which weights with a schedule depend.

        Raises:
            ConfigError: CTC has a weight and the model has no CTC head.
        """
        config, share = self.config, self.config.ctc_at(update)
        spelled = symbol_loss(
            output.log_probs, batch.tokens, batch.token_lengths, config.label_smoothing
        )
        terms = {"attention": (1 - share) * spelled}
        if share:
            if output.ctc_log_probs is None:
                raise ConfigError(
                    "ctc: the model has no CTC head",
                    "--model.ctc true for a head, or --loss.ctc 0 for no such term",
                )
            terms["ctc"] = share * ctc_loss(output.ctc_log_probs, output.memory_lengths, batch)
        guide = config.guide * fade(update, config.guide_half_life)
        if guide:
            terms["guide"] = guide * guided_attention_loss(
                output.alignment, batch.token_lengths, output.memory_lengths, config.guide_sigma
            )
        return Losses(torch.stack(list(terms.values())).sum(), terms)


def symbol_loss(
    log_probs: LogProbs, tokens: Tokens, token_lengths: Lengths, smoothing: float = 0.0
) -> Scalar:
    """Compute the cross-entropy with label smoothing, a mean over valid tokens.

    Args:
        log_probs: (batch, tokens, symbols), in nats.
        tokens: (batch, tokens), targets.
        token_lengths: (batch), number of valid tokens.
        smoothing: fraction of the target that is spread evenly over all symbols that can be
            written.

    Returns:
        A scalar in nats per token.
    """
    tokens = checked_tokens(tokens)
    token_lengths = checked_lengths(token_lengths, tokens.shape, "token_lengths")
    mask = length_mask(token_lengths, tokens.shape[1])
    valid, targets = log_probs[mask], checked_ids(tokens[mask], log_probs.shape[2], wait=True)
    loss = F.nll_loss(valid, targets)
    if not smoothing:
        return loss
    possible = valid[0] > NEVER / 2
    return (1 - smoothing) * loss - smoothing * valid[:, possible].mean()


def ctc_loss(log_probs: LogProbs, memory_lengths: Lengths, batch: ASRBatch) -> Scalar:
    """Compute the CTC loss (Graves 2006) of transcripts without eos.

    Args:
        log_probs: (batch, positions, symbols), of the CTC head.
        memory_lengths: (batch), valid positions.
        batch: batch with the target tokens.

    Returns:
        A scalar in nats per valid token.
    """
    memory_lengths = checked_lengths(memory_lengths, log_probs.shape, "memory_lengths")
    positions = length_mask(memory_lengths, log_probs.shape[1])
    clean: Tensor = torch.where(positions.unsqueeze(-1), log_probs, 0.0)
    total = F.ctc_loss(
        clean.transpose(0, 1),
        batch.tokens,
        memory_lengths,
        batch.token_lengths - 1,
        blank=BLANK,
        reduction="sum",
        zero_infinity=True,
    )
    return total / batch.token_lengths.sum()
