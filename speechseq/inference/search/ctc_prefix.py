"""CTC prefix probabilities of all hypotheses and all symbols at once (Watanabe 2017, Hori 2017).

For a prefix h, `symbol[t]` and `blank[t]` are the log-probabilities of all paths over the first t
positions that spell h and end in its last symbol, or in blank. Then the probability of a longer
prefix,

    P(h·c …) = Σ_t φ[t-1] · p_t(c)       φ = blank + symbol, or blank alone if c repeats the last

is a matrix product for all symbols c together. The paths of the chosen symbol follow a first-order
recurrence over t, which has a closed form in cumulative sums, so that no loop over positions is
needed.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from speechseq.inference.search.scoring import widest
from speechseq.nn.masks import length_mask
from speechseq.text.vocabulary import BLANK, EOS, SOS

LEAST = -1e6  # log-probabilities are clamped to it, so that sums over positions keep their digits


class CTCState(NamedTuple):
    """State of `CTCPrefix` between two steps, one row per hypothesis.

    A prefix is the symbols of a hypothesis so far. It is stored as sums over CTC paths (forward
    variables).

    Attributes:
        symbol: (rows, positions + 1), at index t the log-probability of all paths over the first t
            positions that spell the prefix and end in its last symbol.
        blank: (rows, positions + 1), the same for paths that end in blank.
        last: (rows), last symbol of the prefix.
    """

    symbol: Tensor
    blank: Tensor
    last: Tensor


class CTCPrefix:
    """Scores the hypotheses of a beam search by a CTC head (Watanabe 2017).

    The score of a hypothesis that is still open, a prefix of a transcript, is the summed
    probability of all CTC paths that begin with it. The search calls `start` once, then
    `candidates` and `extend` for each symbol. In all tensors a row is a hypothesis; the rows of an
    utterance are adjacent, and every utterance has the same number of them.

    Args:
        log_probs: (utterances, positions, symbols), output of the CTC head.
        memory_lengths: (utterances), number of valid positions; later ones are never read.
    """

    def __init__(self, log_probs: Tensor, memory_lengths: Tensor) -> None:
        mask = length_mask(memory_lengths, log_probs.shape[1]).unsqueeze(-1)
        wide = log_probs.to(widest(log_probs.device)).clamp(min=LEAST)
        self.probs = torch.where(mask, wide.exp(), 0.0)
        # after the end every path goes on with blanks at no cost, so the last column is its end
        behind = torch.full_like(wide[:1, :1], LEAST)
        behind[..., BLANK] = 0.0
        self.log_probs = torch.where(mask, wide, behind)

    def select(self, utterances: Tensor) -> "CTCPrefix":
        """Return a scorer for some of the utterances, given by their indices."""
        chosen = object.__new__(CTCPrefix)
        chosen.probs, chosen.log_probs = self.probs[utterances], self.log_probs[utterances]
        return chosen

    def start(self) -> CTCState:
        """Return the state of the empty prefix, one row per utterance."""
        blank = self.log_probs[..., BLANK].cumsum(dim=1)
        blank = torch.cat([torch.zeros_like(blank[:, :1]), blank], dim=1)
        last = torch.full_like(blank[:, 0], SOS, dtype=torch.long)
        return CTCState(torch.full_like(blank, float("-inf")), blank, last)

    def candidates(self, state: CTCState) -> Tensor:
        """Return the log-probabilities (rows, symbols) of every prefix with one more symbol.

        The column of eos has the log-probability of the hypothesis as a whole transcript: the sum
        of all paths that spell exactly it. A prefix with too many symbols for the positions has
        -inf. `state` has the prefixes.
        """
        either = torch.logaddexp(state.symbol, state.blank)
        found = self._product(either[:, :-1])
        again = self._of(state.last) + state.blank[:, :-1]
        found.scatter_(1, state.last.unsqueeze(1), again.logsumexp(dim=1, keepdim=True))
        found[:, EOS] = either[:, -1]
        return found.masked_fill(found < LEAST / 2, float("-inf"))

    def extend(self, state: CTCState, tokens: Tensor) -> CTCState:
        """Append a symbol to the prefix of each hypothesis (row); return the new state.

        Args:
            state: state of the prefixes.
            tokens: (rows), the symbols.
        """
        repeats = (tokens == state.last).unsqueeze(1)
        before = torch.where(repeats, state.blank, torch.logaddexp(state.symbol, state.blank))
        symbol = _paths(before[:, :-1], self._of(tokens))
        blank = _paths(symbol[:, :-1], self._of(torch.full_like(tokens, BLANK)))
        return CTCState(symbol, blank, tokens)

    def _product(self, before: Tensor) -> Tensor:
        """log Σ_t exp(before[t]) · p_t(c) for all c: (rows, positions) → (rows, symbols)."""
        peak = before.amax(dim=1, keepdim=True).clamp(min=2 * LEAST * before.shape[1])
        blocks = (before - peak).exp().view(len(self.probs), -1, before.shape[1])
        return torch.bmm(blocks, self.probs).log().flatten(0, 1) + peak

    def _of(self, tokens: Tensor) -> Tensor:
        """Log-probabilities (rows, positions) of each row's own token."""
        utterances, positions, _ = self.log_probs.shape
        index = tokens.view(utterances, 1, -1).expand(-1, positions, -1)
        return self.log_probs.gather(2, index).transpose(1, 2).flatten(0, 1)


def _paths(entering: Tensor, log_probs: Tensor) -> Tensor:
    """x[t] = (x[t-1] + entering[t-1]) · p[t], x[0] = 0, in logarithms, for t = 0 … positions.

    Unrolled: x[t] = Σ_s≤t entering[s-1] · p[s] … p[t].
    """
    stayed = log_probs.cumsum(dim=1)
    paths = torch.logcumsumexp(entering - (stayed - log_probs), dim=1) + stayed
    return torch.cat([torch.full_like(paths[:, :1], float("-inf")), paths], dim=1)
