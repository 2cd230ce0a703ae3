"""Limits of a search: maximum length, symbols that are never written, and premature ends."""

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
    """Maximum number of tokens of a transcript, eos included; the field `limit` of a search.

    It is tokens_per_position times the number of memory positions, but not below `at_least`.

    Attributes:
        tokens_per_position: maximum tokens per memory position. With characters as tokens, 3 is
            three times the fastest speech if a position lasts 40 ms, and 1.5 times at 80 ms.
        at_least: lowest maximum, which applies to short utterances.
    """

    tokens_per_position: Annotated[float, Range(0, 1000)] = 3.0
    at_least: Annotated[int, Range(1, 100_000)] = 16

    def limits(self, memory_lengths: Lengths) -> Lengths:
        """Return the maximum number of tokens of each utterance (batch), eos included.

        `memory_lengths` (batch) are the numbers of valid memory positions.
        """
        ratio = self.tokens_per_position
        tokens = [math.ceil(length * ratio) for length in memory_lengths.tolist()]
        return torch.tensor(tokens, device=memory_lengths.device).clamp(min=self.at_least)


def never_written(symbols: int, device: torch.device) -> Tensor:
    """Mask (symbols,), True for control symbols that no transcript holds: PAD, SOS and BLANK.

    `symbols` is the number of entries of the vocabulary.
    """
    never = torch.zeros(symbols, dtype=torch.bool, device=device)
    never[[PAD, SOS, BLANK]] = True
    return never


def ends_too_early(log_probs: Tensor, never: Tensor, threshold: float) -> Tensor:
    """Mask (rows, 1), True for rows in which eos is too improbable to be accepted.

    eos is accepted where log p(eos) > threshold × log p(best other symbol). Since log-probabilities
    are negative, a threshold of 1 accepts eos only where it is the likeliest symbol, and a larger
    one also where it is a little less likely (Hannun 2019).

    Args:
        log_probs: (rows, symbols), log-probabilities of the next symbol.
        never: (symbols,), result of `never_written`; these symbols do not count.
        threshold: at least 1.
    """
    others = log_probs.masked_fill(never, float("-inf"))
    others[:, EOS] = float("-inf")
    return log_probs[:, EOS : EOS + 1] <= threshold * others.amax(dim=1, keepdim=True)


def refuse_end(total: Tensor, early: Tensor) -> Tensor:
    """Set the score of eos to -inf for the hypotheses that must not end yet.

    eos keeps its score where no other symbol is possible.

    Args:
        total: (…, symbols), scores of all continuations of hypotheses.
        early: (…), True for the hypotheses that must not end; result of `ends_too_early`.
    """
    others = total.clone()
    others[..., EOS] = float("-inf")
    possible = (others > float("-inf")).any(dim=-1, keepdim=True)
    return torch.where(early.unsqueeze(-1) & possible, others, total)
