"""Length rules: normalisation of the score by the length of a hypothesis.

The length counts all tokens, eos included, because the log-probability of eos is in the sum that
is divided. A hypothesis that is not finished has no eos, and none is counted.
"""

import dataclasses
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from speechseq.config import Config
from speechseq.ranges import Items, Range, Weight


@dataclasses.dataclass(frozen=True, kw_only=True)
class LengthRule(Config):
    """No normalisation: log-probabilities stay as they are. Base class of the other rules.

    divides_scorers: the rule divides the scorers' terms too, not only attention and CTC.
    """

    kind: ClassVar[str] = "none"
    divides_scorers: ClassVar[bool] = False

    def widths(self, device: torch.device) -> Tensor:
        """Length of each symbol (symbols,), or (1,) if all symbols have the same length."""
        return torch.ones(1, device=device)

    def share(self, log_prob: Tensor, length: Tensor) -> Tensor:
        """Normalise a summed log-probability for this length."""
        return log_prob

    def added(self, length: Tensor) -> Tensor | None:
        """An additional term for this length, or None."""
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerToken(LengthRule):
    """The mean over tokens: log P / |y|, language models included."""

    kind: ClassVar[str] = "per_token"
    divides_scorers: ClassVar[bool] = True

    def share(self, log_prob: Tensor, length: Tensor) -> Tensor:
        """log P / |y|."""
        return log_prob / length


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerCharacter(LengthRule):
    """LAS's rule: log P / |y|_c, plus the undivided language model (Chan 2015, equation 16).

    symbol_widths: number of characters of each symbol, by id; eos always counts as 1. If empty,
    every symbol is one character.
    """

    kind: ClassVar[str] = "per_character"
    symbol_widths: Annotated[tuple[Weight, ...], Items(0, 1_000_000)] = ()

    def widths(self, device: torch.device) -> Tensor:
        """Characters of each symbol."""
        return torch.tensor(self.symbol_widths or (1.0,), device=device)

    def share(self, log_prob: Tensor, length: Tensor) -> Tensor:
        """log P / |y|_c; |y|_c is at least 1, as a prefix may hold only symbols without width."""
        return log_prob / length.clamp(min=1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GNMT(LengthRule):
    """log P / ((5 + |y|)^alpha / 6^alpha), language models included (Wu 2016, equation 14)."""

    kind: ClassVar[str] = "gnmt"
    divides_scorers: ClassVar[bool] = True
    alpha: Annotated[float, Range(0, 100)] = 0.6

    def share(self, log_prob: Tensor, length: Tensor) -> Tensor:
        """log P divided by the penalty."""
        return log_prob / ((5.0 + length) / 6.0) ** self.alpha


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerTokenBonus(LengthRule):
    """Adds a constant for every token."""

    kind: ClassVar[str] = "bonus"
    bonus: Annotated[float, Range(-1e4, 1e4)] = 0.5

    def added(self, length: Tensor) -> Tensor:
        """bonus × |y|."""
        return self.bonus * length
