"""Limits of a search: length of an utterance, symbols that are never written, early ends."""

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
    """Maximum number of tokens of an utterance, eos included, by the length of its memory.

    tokens_per_position: 3 allows three times the fastest speech in characters when a position
    lasts 40 ms, and one and a half times at 80 ms. at_least: the limit of short utterances.
    """

    tokens_per_position: Annotated[float, Range(0, 1000)] = 3.0
    at_least: Annotated[int, Range(1, 100_000)] = 16

    def limits(self, memory_lengths: Lengths) -> Lengths:
        """Maximum number of tokens (batch), eos included."""
        ratio = self.tokens_per_position
        tokens = [math.ceil(length * ratio) for length in memory_lengths.tolist()]
        return torch.tensor(tokens, device=memory_lengths.device).clamp(min=self.at_least)


def never_written(symbols: int, device: torch.device) -> Tensor:
    """Mask (symbols,) of the controls that no transcript holds: all controls but eos."""
    never = torch.zeros(symbols, dtype=torch.bool, device=device)
    never[[PAD, SOS, BLANK]] = True
    return never


def ends_too_early(log_probs: Tensor, never: Tensor, threshold: float) -> Tensor:
    """Mask (rows, 1) of rows in which eos does not pass the threshold; log_probs (rows, symbols).

    eos passes where log p(eos) > threshold × log p(best other symbol). Log-probabilities are
    negative: a threshold of 1 accepts eos only where it is the likeliest symbol, a larger one also
    where it is a little less likely (Hannun 2019).
    """
    others = log_probs.masked_fill(never, float("-inf"))
    others[:, EOS] = float("-inf")
    return log_probs[:, EOS : EOS + 1] <= threshold * others.amax(dim=1, keepdim=True)


def refuse_end(total: Tensor, early: Tensor) -> Tensor:
    """Set the score of eos to -inf in `total` (…, symbols) where `early` (…) is True.

    eos keeps its score where no other symbol is possible.
    """
    others = total.clone()
    others[..., EOS] = float("-inf")
    possible = (others > float("-inf")).any(dim=-1, keepdim=True)
    return torch.where(early.unsqueeze(-1) & possible, others, total)
