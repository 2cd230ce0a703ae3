"""Score of a hypothesis, a sum of named terms, by which a search prunes, ends and ranks.

    score = share(log P_attention + ctc_weight × log P_ctc) + Σ weight × log P_scorer
            + added(length) + coverage_weight × positions covered

`share` and `added` are methods of the length rule; with some rules, `share` also covers the
scorers.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from speechseq.config import Config, choice
from speechseq.errors import ConfigError
from speechseq.inference.search.interfaces import WeightedScorer
from speechseq.inference.search.length_rules import (
    GNMT,
    LengthRule,
    PerCharacter,
    PerToken,
    PerTokenBonus,
)
from speechseq.ranges import Range, Weight
from speechseq.text.vocabulary import EOS

TERMS = ("attention", "ctc", "length", "coverage")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreConfig(Config):
    """Settings of the score by which a beam search ranks hypotheses; the field `Beam.score`.

    The score is a sum of terms: the log-probability under the attention decoder, and those that are
    set here.

    Attributes:
        ctc_weight: weight of the CTC head's log-probability: of the prefix (Watanabe 2017), or, for
            a finished hypothesis, of the whole transcript.
        length: rule by which log-probabilities are normalised by the length.
        coverage_weight: added for every position whose attention weights over all steps sum to more
            than `coverage_threshold` (Chorowski and Jaitly 2016); SpecAugment takes .05.
        coverage_threshold: see `coverage_weight`.
        end_threshold: accept eos only where log p(eos) > end_threshold × log p(best other symbol),
            under the attention decoder alone (Hannun 2019 takes 1.5); None always accepts it.
    """

    ctc_weight: Weight = 0.0
    length: LengthRule = choice(
        LengthRule, PerToken, PerCharacter, GNMT, PerTokenBonus, default=LengthRule()
    )
    coverage_weight: Weight = 0.0
    coverage_threshold: Weight = 0.5
    end_threshold: Annotated[float, Range(1, 1e6)] | None = None


class Parts(NamedTuple):
    """Sums and lengths of hypotheses from which `Score` computes their score.

    All tensors broadcast to (utterances, hypotheses, symbols) if they describe continuations by
    each symbol, or to (utterances, hypotheses) if they describe the hypotheses themselves.
    Log-probabilities are summed over the tokens, and not weighted yet.

    Attributes:
        attention: log-probability under the attention decoder.
        ctc: log-probability under the CTC head; None without it.
        fused: log-probability under each scorer, such as a language model.
        length: length in tokens or characters, as the length normalisation counts it.
        covered: number of memory positions whose summed attention weights exceed the threshold;
            None if coverage has no weight.
    """

    attention: Tensor
    ctc: Tensor | None
    fused: tuple[Tensor, ...]
    length: Tensor
    covered: Tensor | None


def widest(device: torch.device) -> torch.dtype:
    """Return the dtype in which log-probabilities are summed: float64, but float32 on MPS.

    Args:
        device: device of the sums.
    """
    return torch.float32 if device.type == "mps" else torch.float64


def map_parts(parts: Parts, change: Callable[[Tensor], Tensor]) -> Parts:
    """Apply a function to each tensor of the parts of a score.

    Args:
        parts: sums and lengths of hypotheses.
        change: function from tensor to tensor, such as an indexing.

    Returns:
        New parts; None stays None.
    """
    return Parts(
        attention=change(parts.attention),
        ctc=None if parts.ctc is None else change(parts.ctc),
        fused=tuple(map(change, parts.fused)),
        length=change(parts.length),
        covered=None if parts.covered is None else change(parts.covered),
    )


class Score:
    """Computes the scores of hypotheses for a beam search, as weighted sums of terms.

    Call `total` for the scores, or `terms` for the terms by name.

    Args:
        config: weights of the terms, and the length rule.
        scorers: language models with their weights (shallow fusion).

    Attributes:
        names: names of the terms, such as "attention" and "ctc".

    Raises:
        ConfigError: two terms have the same name.
    """

    def __init__(self, config: ScoreConfig, scorers: Sequence[WeightedScorer] = ()) -> None:
        self.config, self.scorers = config, tuple(scorers)
        names = [*TERMS, *(weighted.name for weighted in self.scorers)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"scorers: the name {twice[0]!r} is taken", "give each its own")
        one = torch.ones(1)
        ctc = one if config.ctc_weight else None
        covered = one if config.coverage_weight else None
        self.names = list(self.terms(Parts(one, ctc, (one,) * len(self.scorers), one, covered)))

    def widths(self, device: torch.device) -> Tensor:
        """Return the length of each symbol, in tokens or characters as the normalisation counts.

        Args:
            device: device of the result.

        Returns:
            Floats (symbols), or (1) if all symbols have the same length, as in tokens.
        """
        widths = self.config.length.widths(device)
        if len(widths) > 1:
            widths[EOS] = 1.0
        return widths

    def terms(self, parts: Parts) -> dict[str, Tensor]:
        """Return the terms of the score, weighted and normalised, for each hypothesis.

        Args:
            parts: sums and lengths of the hypotheses.

        Returns:
            A tensor for each term by name, shaped as the parts.
        """
        config, rule = self.config, self.config.length
        found = {"attention": rule.share(parts.attention, parts.length)}
        if parts.ctc is not None:
            found["ctc"] = rule.share(config.ctc_weight * parts.ctc, parts.length)
        for fused, log_prob in zip(self.scorers, parts.fused, strict=True):
            term = fused.weight * log_prob
            found[fused.name] = rule.share(term, parts.length) if rule.divides_scorers else term
        if (added := rule.added(parts.length)) is not None:
            found["length"] = added
        if parts.covered is not None:
            found["coverage"] = config.coverage_weight * parts.covered
        return found

    def total(self, parts: Parts) -> Tensor:
        """Return the score of each hypothesis, the sum of its weighted terms.

        Args:
            parts: sums and lengths of the hypotheses.

        Returns:
            Scores, shaped as the parts.
        """
        first, *rest = self.terms(parts).values()
        for term in rest:
            first = first + term
        return first

    def most(self, parts: Parts, positions: Tensor, remaining: Tensor, widest: float) -> Tensor:
        """Return an upper bound of the scores that open hypotheses can have when they are finished.

        The bound allows for these changes: log-probabilities only fall, a longer hypothesis may
        divide them by a larger length, and the coverage term may still reach its maximum, all
        positions of the memory.

        Args:
            parts: summed log-probabilities and lengths of the open (unfinished) hypotheses,
                (utterances, hypotheses).
            positions: number of valid positions of the memory; broadcasts to the parts.
            remaining: maximum number of tokens still to come, eos included; at least 1; broadcasts
                to the parts.
            widest: largest length that one token adds to a hypothesis: 1 if lengths are counted in
                tokens, the characters of the longest symbol if they are counted in characters.

        Returns:
            The bounds, (utterances, hypotheses).
        """
        fused = tuple(
            log_prob + remaining * _rise(one)
            for one, log_prob in zip(self.scorers, parts.fused, strict=True)
        )
        covered = None if parts.covered is None else positions.expand_as(parts.attention)
        shortest, longest = parts.length + 1, parts.length + remaining * widest
        grown = parts._replace(fused=fused, covered=covered)
        ends = [self.terms(grown._replace(length=length)) for length in (shortest, longest)]
        both = zip(ends[0].values(), ends[1].values(), strict=True)
        return sum((torch.maximum(one, other) for one, other in both), torch.zeros(()))


def _rise(fused: WeightedScorer) -> float:
    """Bound of a token's contribution to a scorer's summed log-probability.

    It is an upper bound for a weight ≥ 0; for a negative weight nothing bounds the sum from below.
    """
    return fused.most if fused.weight >= 0 else float("-inf")
