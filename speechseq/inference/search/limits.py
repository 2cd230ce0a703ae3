"""When an utterance must end: limits on its length, and what may stand at a step."""

import dataclasses
import math
from typing import Annotated

import torch
from torch import Tensor

from speechseq.config import Config
from speechseq.ranges import Range
from speechseq.shapes import Lengths
from speechseq.text.vocabulary import BLANK, EOS, PAD, SOS


@dataclasses.dataclass(frozen=True, kw_only=True)
class LimitConfig(Config):
    """The most tokens that an utterance may take, eos included, from its own memory's length.

    tokens_per_position: 3 leaves room at 40 ms a position for three times the fastest speech in
    characters, at 80 ms for one and a half times. at_least: of short utterances.
    """

    tokens_per_position: Annotated[float, Range(0, 1000)] = 3.0
    at_least: Annotated[int, Range(1, 100_000)] = 16

    def limits(self, memory_lengths: Lengths) -> Lengths:
        """Tokens (batch), eos included."""
        ratio = self.tokens_per_position
        tokens = [math.ceil(length * ratio) for length in memory_lengths.tolist()]
        return torch.tensor(tokens, device=memory_lengths.device).clamp(min=self.at_least)


def never_written(symbols: int, device: torch.device) -> Tensor:
    """Mask (symbols,) of the controls that no transcript holds; eos is none of them."""
    never = torch.zeros(symbols, dtype=torch.bool, device=device)
    never[[PAD, SOS, BLANK]] = True
    return never


def ends_too_early(log_probs: Tensor, never: Tensor, threshold: float) -> Tensor:
    """Whether eos (rows, symbols) → (rows, 1) fails to beat the best other symbol by the factor.

    Log-probabilities are negative: a threshold of 1 accepts only an eos that is the likeliest, a
    larger one also accepts one that is a little less likely (Hannun 2019).
    """
    others = log_probs.masked_fill(never, float("-inf"))
    others[:, EOS] = float("-inf")
    return log_probs[:, EOS : EOS + 1] <= threshold * others.amax(dim=1, keepdim=True)


def refuse_end(total: Tensor, early: Tensor) -> Tensor:
    """Scores (…, symbols) without eos where it is early (…), unless nothing else is possible."""
    others = total.clone()
    others[..., EOS] = float("-inf")
    possible = (others > float("-inf")).any(dim=-1, keepdim=True)
    return torch.where(early.unsqueeze(-1) & possible, others, total)
