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
    """Rule by which the score of a hypothesis depends on its length; this one changes nothing.

    Set a rule as `ScoreConfig.length`. The other rules are subclasses: they override `widths`
    (length of each symbol), `share` (log-probability after normalisation) or `added` (a further
    term).

    Attributes:
        divides_scorers: True if `share` is applied to the log-probabilities of language models too,
            not only to those of attention and CTC.
    """

    kind: ClassVar[str] = "none"
    divides_scorers: ClassVar[bool] = False

    def widths(self, device: torch.device) -> Tensor:
        """Return the length of each symbol: (symbols,), or (1,) if all have the same length.

        The length of a hypothesis is the sum over its symbols; here, the number of tokens.
        """
        return torch.ones(1, device=device)

    def share(self, log_prob: Tensor, length: Tensor) -> Tensor:
        """Return summed log-probabilities of hypotheses, normalised by length; here unchanged.

        Args:
            log_prob: summed log-probability of each hypothesis, any shape.
            length: length of each hypothesis, the same shape; see `widths`.
        """
        return log_prob

    def added(self, length: Tensor) -> Tensor | None:
        """Return the term that is added to the score of hypotheses of these lengths, or None."""
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerToken(LengthRule):
    """Length rule: log P / |y|, the mean log-probability per token, language models included.

    |y| is the number of tokens. Set it as `ScoreConfig.length`.
    """

    kind: ClassVar[str] = "per_token"
    divides_scorers: ClassVar[bool] = True

    def share(self, log_prob: Tensor, length: Tensor) -> Tensor:
        """Divide summed log-probabilities by the lengths of the hypotheses in tokens."""
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
        """Return the number of characters of each symbol, (symbols,), or (1,) if all have one."""
        return torch.tensor(self.symbol_widths or (1.0,), device=device)

    def share(self, log_prob: Tensor, length: Tensor) -> Tensor:
        """Divide summed log-probabilities by the lengths of the hypotheses in characters."""
        return log_prob / length.clamp(min=1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GNMT(LengthRule):
    """Length rule of Google's NMT: log P / ((5 + |y|)^alpha / 6^alpha), language models included.

    |y| is the number of tokens. Set it as `ScoreConfig.length`.

    Source: Wu et al. 2016, equation 14.
    """

    kind: ClassVar[str] = "gnmt"
    divides_scorers: ClassVar[bool] = True
    alpha: Annotated[float, Range(0, 100)] = 0.6

    def share(self, log_prob: Tensor, length: Tensor) -> Tensor:
        """Divide summed log-probabilities by (5 + length)^alpha / 6^alpha, length in tokens."""
        return log_prob / ((5.0 + length) / 6.0) ** self.alpha


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerTokenBonus(LengthRule):
    """Length rule that adds `bonus` to the score for every token, for `ScoreConfig.length`."""

    kind: ClassVar[str] = "bonus"
    bonus: Annotated[float, Range(-1e4, 1e4)] = 0.5

    def added(self, length: Tensor) -> Tensor:
        """Return `bonus` times the length of each hypothesis in tokens."""
        return self.bonus * length
