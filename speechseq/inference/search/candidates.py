"""Candidates of a beam search step, which continue open hypotheses, and the choice of the best."""

from typing import NamedTuple

from torch import Tensor

from speechseq.inference.search.scoring import Parts, map_parts
from speechseq.ops.topk import stable_topk
from speechseq.text.vocabulary import EOS


class Candidates(NamedTuple):
    """All continuations by one symbol of all open hypotheses of a beam search.

    Each tensor has the shape (utterances, hypotheses, symbols).

    Attributes:
        total: score of each continuation; -inf for symbols that may not follow.
        parts: the sums that the score is made of; their axis of symbols has size 1 where all
            symbols share one value.
        log_probs: log-probability of each symbol under the recogniser alone.
    """

    total: Tensor
    parts: Parts
    log_probs: Tensor


class Picked(NamedTuple):
    """The `size` best continuations of each utterance, best first; the result of `pick`.

    Each tensor has the shape (utterances, size). If an utterance has fewer continuations, the
    others have total -inf, and ends and goes_on False.

    Attributes:
        total: score.
        parts: the sums that the score is made of.
        parent: index of the hypothesis that is continued.
        token: symbol that continues it.
        log_prob: log-probability of the token under the recogniser alone.
        ends: True if the token is eos, so that the hypothesis is finished.
        goes_on: True if the hypothesis stays open.
    """

    total: Tensor
    parts: Parts
    parent: Tensor
    token: Tensor
    log_prob: Tensor
    ends: Tensor
    goes_on: Tensor

    def select(self, utterances: Tensor) -> "Picked":
        """Return the continuations of some utterances, given by their indices."""
        parts = map_parts(self.parts, lambda part: part[utterances])
        return Picked(self.total[utterances], parts, *(x[utterances] for x in self[2:]))


def pick(candidates: Candidates, size: int) -> Picked:
    """Return the `size` best continuations of each utterance, best first.

    Of continuations with equal scores, the first is better. If an utterance has fewer than `size`,
    the others have total -inf.
    """
    totals = candidates.total.flatten(1)
    return picked_at(candidates, stable_topk(totals, min(size, totals.shape[1])))


def picked_at(candidates: Candidates, index: Tensor) -> Picked:
    """Return given continuations of each utterance, for example those that a length limit ends.

    Args:
        candidates: all continuations of the open hypotheses.
        index: (utterances, size), index of each continuation: hypothesis · number of symbols +
            symbol.
    """
    symbols = candidates.total.shape[2]
    parent, token = index // symbols, index % symbols

    def at(x: Tensor) -> Tensor:
        return x.flatten(1).gather(1, index if x.shape[2] > 1 else parent)

    total, parts = at(candidates.total), map_parts(candidates.parts, at)
    alive, eos = total > float("-inf"), token == EOS
    log_prob = at(candidates.log_probs)
    return Picked(total, parts, parent, token, log_prob, alive & eos, alive > eos)
