"""Length rules: normalisation of the score by the length of a hypothesis.

The length counts all tokens, eos included, because the log-probability of eos is in the sum that is
divided. An unfinished hypothesis has no eos, so none is counted.
"""

import dataclasses
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from speechseq.config import Config
from speechseq.ranges import Items, Range, Weight


@dataclasses.dataclass(frozen=True, kw_only=True)
class LengthRule(Config):
    """Rule by which the score of a hypothesis depends on its length; the base rule has no effect.

    Without normalisation, a beam search prefers short transcripts, since each token adds a negative
    log-probability. Set a rule as `ScoreConfig.length`. The other rules are subclasses: they
    override `widths` (length of each symbol), `share` (normalised log-probability) or `added` (a
    further term of the score). Lengths are in tokens unless `widths` says otherwise.

    Attributes:
        divides_scorers: True if `share` is applied to the log-probabilities of language models too,
            not only to those of attention and CTC.
    """

    kind: ClassVar[str] = "none"
    divides_scorers: ClassVar[bool] = False

    def widths(self, device: torch.device) -> Tensor:
        """Return the length of each symbol; the length of a hypothesis is the sum over its symbols.

        The base rule counts tokens: every symbol, eos included, has the length 1.

        Args:
            device: device of the result.

        Returns:
            Lengths as floats, (symbols), or (1) if all symbols have the same.
        """
        return torch.ones(1, device=device)

    def share(self, log_prob: Tensor, length: Tensor) -> Tensor:
        """Normalise the log-probability of hypotheses by their length; subclasses override this.

        The base rule returns `log_prob` unchanged.

        Args:
            log_prob: log-probability of each hypothesis, summed over its symbols; any shape.
            length: length of each hypothesis in tokens (in the unit of `widths`), the same shape.

        Returns:
            Normalised log-probabilities of the same shape.
        """
        return log_prob

    def added(self, length: Tensor) -> Tensor | None:
        """Return a term to add to the score of hypotheses; the base rule adds none.

        Args:
            length: length of each hypothesis in tokens (in the unit of `widths`); any shape.

        Returns:
            A tensor of the same shape, or None for no term.
        """
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerToken(LengthRule):
    """Length rule: log P / |y|, the mean log-probability per token, language models included.

    |y| is the number of tokens. Set it as `ScoreConfig.length`.
    """

    kind: ClassVar[str] = "per_token"
    divides_scorers: ClassVar[bool] = True

    def share(self, log_prob: Tensor, length: Tensor) -> Tensor:
        """Divide summed log-probabilities by the lengths of the hypotheses.

        Args:
            log_prob: log-probability of each hypothesis, summed over its tokens; any shape.
            length: number of tokens of each hypothesis, the same shape.

        Returns:
            Mean log-probabilities per token, the same shape.
        """
        return log_prob / length


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerCharacter(LengthRule):
    """Length rule of LAS: log P / |y|_c, while language models are added undivided.

    |y|_c is the number of characters. Set it as `ScoreConfig.length`.

    Attributes:
        symbol_widths: number of characters of each symbol, by id; eos always counts as 1. If it is
            empty, every symbol is one character.

    Source: Chan et al. 2015, equation 16.
    """

    kind: ClassVar[str] = "per_character"
    symbol_widths: Annotated[tuple[Weight, ...], Items(0, 1_000_000)] = ()

    def widths(self, device: torch.device) -> Tensor:
        """Return the number of characters of each symbol.

        Args:
            device: device of the result.

        Returns:
            Floats (symbols), or (1) if every symbol is one character.
        """
        return torch.tensor(self.symbol_widths or (1.0,), device=device)

    def share(self, log_prob: Tensor, length: Tensor) -> Tensor:
        """Divide summed log-probabilities by the lengths of the hypotheses.

        Args:
            log_prob: log-probability of each hypothesis, summed over its symbols; any shape.
            length: number of characters of each hypothesis, the same shape.

        Returns:
            Mean log-probabilities per character, the same shape.
        """
        return log_prob / length.clamp(min=1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GNMT(LengthRule):
    """Length rule of Google's NMT: log P / ((5 + |y|)^alpha / 6^alpha), language models included.

    |y| is the number of tokens. Set it as `ScoreConfig.length`.

    Attributes:
        alpha: strength of the normalisation: 0 for none, 1 for nearly a division by |y|.
    """

    kind: ClassVar[str] = "gnmt"
    divides_scorers: ClassVar[bool] = True
    alpha: Annotated[float, Range(0, 100)] = 0.6

    def share(self, log_prob: Tensor, length: Tensor) -> Tensor:
        """Divide summed log-probabilities by (5 + length)^alpha / 6^alpha.

        Args:
            log_prob: log-probability of each hypothesis, summed over its tokens; any shape.
            length: number of tokens of each hypothesis, the same shape.

        Returns:
            Normalised log-probabilities of the same shape.
        """
        return log_prob / ((5.0 + length) / 6.0) ** self.alpha


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerTokenBonus(LengthRule):
    """Length rule that adds a bonus to the score for every token.

    Set it as `ScoreConfig.length`.

    Attributes:
        bonus: term added for each token, in nats; above 0 favours longer transcripts.
    """

    kind: ClassVar[str] = "bonus"
    bonus: Annotated[float, Range(-1e4, 1e4)] = 0.5

    def added(self, length: Tensor) -> Tensor:
        """Return `bonus` times the length of each hypothesis.

        Args:
            length: number of tokens of each hypothesis, any shape.

        Returns:
            The term of the score, the same shape.
        """
        return self.bonus * length
