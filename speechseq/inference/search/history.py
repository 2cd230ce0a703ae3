"""History of a search: the tokens of each step, and backtracking from the last to the first."""

import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from speechseq.inference.search.hypothesis import Hypothesis
from speechseq.text.vocabulary import EOS


class Written(NamedTuple):
    """One step of a search, kept for backtracking; each row is a hypothesis that was open then.

    Attributes:
        token: (rows), input of the step: the last token of each hypothesis so far.
        log_prob: (rows), log-probability of this token under the recogniser alone.
        parent: (rows), row of the hypothesis at the previous step.
        weights: (rows, positions), attention weights of the step.
    """

    token: Tensor
    log_prob: Tensor
    parent: Tensor
    weights: Tensor


class Ended(NamedTuple):
    """Hypotheses that ended with eos or at the length limit, in the order in which they ended.

    Attributes:
        utterance: (ended), index of the utterance in the batch.
        step: (ended), number of the step that gave the last token.
        row: (ended), row of the hypothesis at that step, see `Written`.
        token: (ended), last token; eos unless the limit ended the hypothesis.
        log_prob: (ended), log-probability of the last token.
        terms: (ended, terms), terms of the score.
    """

    utterance: Tensor
    step: Tensor
    row: Tensor
    token: Tensor
    log_prob: Tensor
    terms: Tensor

    def take(self, places: list[int]) -> "Ended":
        """Return some of the hypotheses, given by their indices."""
        index = torch.tensor(places, dtype=torch.long, device=self.row.device)
        return Ended(*(field[index] for field in self))

    @staticmethod
    def joined(parts: list["Ended"]) -> "Ended":
        """Concatenate groups of ended hypotheses, in the order of `parts`."""
        return Ended(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


def ranked(ended: Ended, utterances: int, n_best: int) -> list[list[int]]:
    """Rank the ended hypotheses of each utterance.

    Every finished hypothesis comes before the unfinished ones; within each group the higher score
    comes first, and of equal scores the one that ended earlier.

    Args:
        ended: ended hypotheses of all utterances.
        utterances: number of utterances.
        n_best: maximum number of hypotheses of each.

    Returns:
        For each utterance, the indices in `ended` of its `n_best` best hypotheses.
    """
    places: list[list[int]] = [[] for _ in range(utterances)]
    for place, utterance in enumerate(ended.utterance.tolist()):
        places[utterance].append(place)
    unfinished = (ended.token != EOS).tolist()
    scores = [sum(terms) for terms in ended.terms.tolist()]

    def order(place: int) -> tuple[bool, float]:
        return unfinished[place], -scores[place]

    return [sorted(own, key=order)[:n_best] for own in places]


def traced(
    steps: list[Written],
    ended: Ended,
    names: list[str],
    memory_lengths: list[int],
    empty_log_probs: list[float],
) -> list[Hypothesis]:
    """Build the hypotheses that ended, by following each back to its first token.

    Args:
        steps: all steps of the search.
        ended: hypotheses that ended.
        names: names of the score's terms.
        memory_lengths: number of valid positions of each utterance, to which alignments are cut.
        empty_log_probs: log-probability of eos at the first step, for each utterance.
    """
    rows = _rows(steps, ended)
    steps = steps[: rows.shape[1]]
    places = rows + torch.tensor(_starts(steps), device=rows.device)
    looked = [step.weights[row] for step, row in zip(steps, rows.unbind(1), strict=True)]
    tokens = _written([step.token for step in steps], places, ended.step, ended.token)
    log_probs = _written([step.log_prob for step in steps], places, ended.step, ended.log_prob)
    whole = [part.cpu() for part in (tokens, log_probs, torch.stack(looked, 1))]
    return [
        _hypothesis(
            [part[place, : last + 1] for part in whole],
            dict(zip(names, terms, strict=True)),
            memory_lengths[utterance],
            empty_log_probs[utterance],
        )
        for place, (terms, last, utterance) in enumerate(
            zip(ended.terms.tolist(), ended.step.tolist(), ended.utterance.tolist(), strict=True)
        )
    ]


def _rows(steps: list[Written], ended: Ended) -> Tensor:
    """Row of each hypothesis at each step (ended, steps); 0 after its last step."""
    parents, starts = torch.cat([step.parent for step in steps]).tolist(), _starts(steps)
    found = torch.zeros(len(ended.step), int(ended.step.max()) + 1, dtype=torch.long)
    for own, row, last in zip(found, ended.row.tolist(), ended.step.tolist(), strict=True):
        path = [row]
        for step in range(last, 0, -1):
            path.append(parents[starts[step] + path[-1]])
        own[: last + 1] = torch.tensor(path[::-1])
    return found.to(ended.row.device)


def _starts(steps: list[Written]) -> list[int]:
    """Offset of each step's first row in the concatenation of the rows of all steps."""
    return [0, *itertools.accumulate(len(step.token) for step in steps[:-1])]


def _written(fed: list[Tensor], places: Tensor, steps: Tensor, last: Tensor) -> Tensor:
    """Output of each step (ended, steps): the input of the next step; `last` at the final one."""
    written = torch.cat(fed)[places].roll(-1, 1).to(last.dtype)  # sos may have another dtype
    return written.scatter(1, steps.unsqueeze(1), last.unsqueeze(1))


def _hypothesis(
    own: list[Tensor], terms: dict[str, float], positions: int, empty_log_prob: float
) -> Hypothesis:
    ids, log_probs, weights = own
    finished = int(ids[-1]) == EOS
    return Hypothesis(
        tokens=tuple(ids.tolist()[:-1] if finished else ids.tolist()),
        score=sum(terms.values()),
        terms=terms,
        finished=finished,
        alignment=weights[:, :positions].clone(),
        token_log_probs=log_probs.clone(),
        empty_log_prob=empty_log_prob,
    )
