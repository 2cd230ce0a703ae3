"""Hypothesis of a search: a transcript with its score, the score's terms, and its alignment."""

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from speechseq.text.vocabulary import EOS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """Candidate transcript.

    Attributes:
        tokens: ids without eos.
        score: the sum of `terms`, exactly.
        terms: terms of the score by name, after weighting and normalisation.
        finished: True if it ended with eos, False if it reached the length limit.
        alignment: (steps, positions), attention weights at each token, and at eos if finished.
        token_log_probs: log-probability of each token under the model alone, and of eos if
            finished.
        empty_log_prob: log-probability of an empty transcript (eos at once) under the model alone.
    """

    tokens: tuple[int, ...]
    score: float
    terms: dict[str, float]
    finished: bool
    alignment: Float[Tensor, "steps positions"]
    token_log_probs: Float[Tensor, " steps"]
    empty_log_prob: float = float("-inf")

    @property
    def ids(self) -> tuple[int, ...]:
        """Token ids, followed by eos if finished: the form of the transcripts in `rescore`."""
        return (*self.tokens, EOS) if self.finished else self.tokens

    @property
    def log_prob(self) -> float:
        """Summed log-probability of the tokens under the model alone, eos included, in nats."""
        return float(self.token_log_probs.double().sum())


def posteriors(hypotheses: Sequence[Hypothesis], temperature: float = 1.0) -> list[float]:
    """Posterior probabilities of an n-best list of `hypotheses`: softmax of score / temperature."""
    scores = torch.tensor([item.score for item in hypotheses], dtype=torch.float64)
    return torch.softmax(scores / temperature, dim=0).tolist()
