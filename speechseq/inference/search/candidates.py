"""All continuations of all open hypotheses at a step, and the choice of the best."""

from typing import NamedTuple

from torch import Tensor

from speechseq.inference.search.scoring import Parts, map_parts
from speechseq.ops.topk import stable_topk
from speechseq.text.vocabulary import EOS


class Candidates(NamedTuple):
    """Every symbol after every open hypothesis, each (utterances, hypotheses, symbols).

    total: the score, -inf for what may not stand there; parts: of the score, of one symbol where
    all have the same; log_probs: under the model.
    """

    total: Tensor
    parts: Parts
    log_probs: Tensor


class Picked(NamedTuple):
    """The best candidates, each (utterances, size), best first.

    parent: place of the hypothesis that was continued, by token, whose log_prob the model gave;
    ends: it closes with eos; goes_on: it is open still. Neither is true, and total is -inf, where
    there were not enough candidates.
    """

    total: Tensor
    parts: Parts
    parent: Tensor
    token: Tensor
    log_prob: Tensor
    ends: Tensor
    goes_on: Tensor

    def select(self, utterances: Tensor) -> "Picked":
        """The same for these utterances alone."""
        parts = map_parts(self.parts, lambda part: part[utterances])
        return Picked(self.total[utterances], parts, *(x[utterances] for x in self[2:]))


def pick(candidates: Candidates, size: int) -> Picked:
    """The `size` best of each utterance, or all when there are fewer; of equals the first."""
    totals = candidates.total.flatten(1)
    return picked_at(candidates, stable_topk(totals, min(size, totals.shape[1])))


def picked_at(candidates: Candidates, index: Tensor) -> Picked:
    """The candidates at places (utterances, size), counted over hypotheses × symbols."""
    symbols = candidates.total.shape[2]
    parent, token = index // symbols, index % symbols

    def at(x: Tensor) -> Tensor:
        return x.flatten(1).gather(1, index if x.shape[2] > 1 else parent)

    total, parts = at(candidates.total), map_parts(candidates.parts, at)
    alive, eos = total > float("-inf"), token == EOS
    log_prob = at(candidates.log_probs)
    return Picked(total, parts, parent, token, log_prob, alive & eos, alive > eos)
