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
    """Rule by which a hypothesis' score depends on its length; this base class changes nothing.

    `ScoreConfig.length` takes one. A subclass may override `widths` (length of each symbol),
    `share` (normalised log-probability) and `added` (a further term).

    Attributes:
        divides_scorers: True if the rule divides the scorers' terms too, not only attention and
            CTC.
    """

    kind: ClassVar[str] = "none"
    divides_scorers: ClassVar[bool] = False

    def widths(self, device: torch.device) -> Tensor:
        """Return the length of each symbol, in the unit by which this rule measures transcripts.

        Shape (symbols,), or (1,) if all symbols have the same length.
        """
        return torch.ones(1, device=device)

    def share(self, log_prob: Tensor, length: Tensor) -> Tensor:
        """Return a hypothesis' summed log-probability, normalised by its length; here unchanged.

        Both tensors, `log_prob` and `length`, have one value for each hypothesis; the length is in
        the unit of `widths`.
        """
        return log_prob

    def added(self, length: Tensor) -> Tensor | None:
        """Return the term that the rule adds to the score for a length; None for no term."""
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerToken(LengthRule):
    """Rule of the mean over a hypothesis' |y| tokens: log P / |y|, language models included."""

    kind: ClassVar[str] = "per_token"
    divides_scorers: ClassVar[bool] = True

    def share(self, log_prob: Tensor, length: Tensor) -> Tensor:
        """Return log P / |y|: summed log-probabilities over the lengths |y| in tokens."""
        return log_prob / length


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerCharacter(LengthRule):
    """Rule of LAS: log P / |y|_c plus the undivided language model (Chan 2015, equation 16).

    |y|_c is the length in characters. `symbol_widths` has the number of characters of each symbol,
    by id; eos always counts as 1. If it is empty, every symbol is one character.
    """

    kind: ClassVar[str] = "per_character"
    symbol_widths: Annotated[tuple[Weight, ...], Items(0, 1_000_000)] = ()

    def widths(self, device: torch.device) -> Tensor:
        """Return the number of characters of each symbol, (symbols,), or (1,) if all have one."""
        return torch.tensor(self.symbol_widths or (1.0,), device=device)

    def share(self, log_prob: Tensor, length: Tensor) -> Tensor:
        """Return log P / |y|_c: summed log-probabilities over the lengths |y|_c in characters."""
        return log_prob / length.clamp(min=1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GNMT(LengthRule):
    """Rule of GNMT: log P / ((5 + |y|)^alpha / 6^alpha), language models included.

    |y| is the length of the hypothesis in tokens.

    Source: Wu et al. 2016, equation 14.
    """

    kind: ClassVar[str] = "gnmt"
    divides_scorers: ClassVar[bool] = True
    alpha: Annotated[float, Range(0, 100)] = 0.6

    def share(self, log_prob: Tensor, length: Tensor) -> Tensor:
        """Return log P / ((5 + |y|)^alpha / 6^alpha), for the length |y| in tokens."""
        return log_prob / ((5.0 + length) / 6.0) ** self.alpha


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerTokenBonus(LengthRule):
    """Rule that adds `bonus` to the score for every token."""

    kind: ClassVar[str] = "bonus"
    bonus: Annotated[float, Range(-1e4, 1e4)] = 0.5

    def added(self, length: Tensor) -> Tensor:
        """Return bonus × |y| for lengths |y| in tokens."""
        return self.bonus * length
