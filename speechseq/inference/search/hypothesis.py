"""Hypothesis of a search: a transcript with its score, the score's terms, and its alignment."""

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from speechseq.text.vocabulary import EOS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """Candidate transcript that a search has found, as token ids.

    Attributes:
        tokens: ids without eos.
        score: the sum of `terms`, exactly.
        terms: terms of the score by name, after weighting and normalisation.
        finished: True if it ended with eos, False if it reached the length limit.
        alignment: (steps, positions), attention weights at each token, and at eos if finished.
        token_log_probs: (steps), log-probability in nats of each token under the recogniser alone,
            and of eos if finished.
        empty_log_prob: log-probability of an empty transcript (eos at once) under the recogniser
            alone; it is high for sounds without speech.
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
        """Token ids, followed by eos if finished: the form in which `rescore` takes transcripts."""
        return (*self.tokens, EOS) if self.finished else self.tokens

    @property
    def log_prob(self) -> float:
        """Summed log-probability of the tokens under the model alone, eos included, in nats."""
        return float(self.token_log_probs.double().sum())


def posteriors(hypotheses: Sequence[Hypothesis], temperature: float = 1.0) -> list[float]:
    """Return the posterior probability of each hypothesis of an n-best list; they sum to 1.

    They are softmax(scores / temperature); a higher temperature makes them more equal.
    """
    scores = torch.tensor([item.score for item in hypotheses], dtype=torch.float64)
    return torch.softmax(scores / temperature, dim=0).tolist()
