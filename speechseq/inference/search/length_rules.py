"""Length rules: what the score does about the length of a hypothesis.

The length is that of all tokens written, and eos counts as one of them: its log-probability is in
the sum that is divided. A hypothesis that is not finished has written no eos, and none is counted.
"""

import dataclasses
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from speechseq.config import Config
from speechseq.ranges import Items, Range, Weight


@dataclasses.dataclass(frozen=True, kw_only=True)
class LengthRule(Config):
    """Leaves log-probabilities as they are; the rules below do something.

    divides_scorers: the rule divides the scorers' terms, too, not only attention and CTC.
    """

    kind: ClassVar[str] = "none"
    divides_scorers: ClassVar[bool] = False

    def widths(self, device: torch.device) -> Tensor:
        """What each symbol (symbols,) counts, or (1,) when all count the same."""
        return torch.ones(1, device=device)

    def share(self, log_prob: Tensor, length: Tensor) -> Tensor:
        """A summed log-probability as it counts at this length."""
        return log_prob

    def added(self, length: Tensor) -> Tensor | None:
        """A term of its own that the length gives, or None."""
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

    symbol_widths: the characters of each symbol, by id; that of eos counts as 1 whatever stands
    there. Empty: every symbol is one character.
    """

    kind: ClassVar[str] = "per_character"
    symbol_widths: Annotated[tuple[Weight, ...], Items(0, 1_000_000)] = ()

    def widths(self, device: torch.device) -> Tensor:
        """Characters of each symbol."""
        return torch.tensor(self.symbol_widths or (1.0,), device=device)

    def share(self, log_prob: Tensor, length: Tensor) -> Tensor:
        """log P / |y|_c, and at least 1: a prefix may hold nothing but symbols of no width."""
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
