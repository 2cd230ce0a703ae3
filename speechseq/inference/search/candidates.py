"""Candidates of a beam search step, which continue open hypotheses, and the choice of the best."""

from typing import NamedTuple

from torch import Tensor

from speechseq.inference.search.scoring import Parts, map_parts
from speechseq.ops.topk import stable_topk
from speechseq.text.vocabulary import EOS


class Candidates(NamedTuple):
    """Every symbol after every open hypothesis, each (utterances, hypotheses, symbols).

    total: the score, -inf for symbols that may not follow; parts: the terms of the score, with a
    symbol axis of size 1 where all symbols share one value; log_probs: under the model.
    """

    total: Tensor
    parts: Parts
    log_probs: Tensor


class Picked(NamedTuple):
    """The best candidates, each (utterances, size), best first.

    parent: index of the hypothesis that was continued; token: the symbol that continues it;
    log_prob: of the token, under the model; ends: the token is eos; goes_on: the hypothesis stays
    open. Where there are fewer candidates than places, ends and goes_on are False and total is
    -inf.
    """

    total: Tensor
    parts: Parts
    parent: Tensor
    token: Tensor
    log_prob: Tensor
    ends: Tensor
    goes_on: Tensor

    def select(self, utterances: Tensor) -> "Picked":
        """Select some utterances."""
        parts = map_parts(self.parts, lambda part: part[utterances])
        return Picked(self.total[utterances], parts, *(x[utterances] for x in self[2:]))


def pick(candidates: Candidates, size: int) -> Picked:
    """Pick the `size` best candidates of each utterance (fewer if there are fewer).

    Of equal candidates the first comes first.
    """
    totals = candidates.total.flatten(1)
    return picked_at(candidates, stable_topk(totals, min(size, totals.shape[1])))


def picked_at(candidates: Candidates, index: Tensor) -> Picked:
    """Gather the candidates at flat indices (utterances, size) into hypotheses × symbols."""
    symbols = candidates.total.shape[2]
    parent, token = index // symbols, index % symbols

    def at(x: Tensor) -> Tensor:
        return x.flatten(1).gather(1, index if x.shape[2] > 1 else parent)

    total, parts = at(candidates.total), map_parts(candidates.parts, at)
    alive, eos = total > float("-inf"), token == EOS
    log_prob = at(candidates.log_probs)
    return Picked(total, parts, parent, token, log_prob, alive & eos, alive > eos)
