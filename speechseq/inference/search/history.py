"""What a search wrote at each step, and the way back from the last token to the first."""

import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from speechseq.inference.search.hypothesis import Hypothesis
from speechseq.text.vocabulary import EOS


class Written(NamedTuple):
    """One step of the rows that took part in it.

    token: what each row (rows) was fed, the last one it had written; log_prob: of that token under
    the model; parent: its row at the step before; weights (rows, positions): where it looked.
    """

    token: Tensor
    log_prob: Tensor
    parent: Tensor
    weights: Tensor


class Ended(NamedTuple):
    """Hypotheses that ended, with eos or at a limit, in the order of their ending.

    utterance; step and row: whose distribution the last token was taken from; the token, its
    log_prob, and the terms (ended, terms) of the score.
    """

    utterance: Tensor
    step: Tensor
    row: Tensor
    token: Tensor
    log_prob: Tensor
    terms: Tensor

    def take(self, places: list[int]) -> "Ended":
        """Those at the given places."""
        index = torch.tensor(places, dtype=torch.long, device=self.row.device)
        return Ended(*(field[index] for field in self))

    @staticmethod
    def joined(parts: list["Ended"]) -> "Ended":
        """One after another."""
        return Ended(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


def ranked(ended: Ended, utterances: int, n_best: int) -> list[list[int]]:
    """Places in `ended` of each utterance's best: finished first, by score, the earlier of equals.

    An unfinished hypothesis never stands before a finished one.
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
    """Every hypothesis of `ended`, followed back to its first token.

    Args:
        names: of the terms.
        memory_lengths: by utterance; alignments are cut to them.
        empty_log_probs: by utterance; of eos at the first step.
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
    """The row at each step (ended, steps) that a hypothesis came by; 0 behind its last step."""
    parents, starts = torch.cat([step.parent for step in steps]).tolist(), _starts(steps)
    found = torch.zeros(len(ended.step), int(ended.step.max()) + 1, dtype=torch.long)
    for own, row, last in zip(found, ended.row.tolist(), ended.step.tolist(), strict=True):
        path = [row]
        for step in range(last, 0, -1):
            path.append(parents[starts[step] + path[-1]])
        own[: last + 1] = torch.tensor(path[::-1])
    return found.to(ended.row.device)


def _starts(steps: list[Written]) -> list[int]:
    """Where the rows of each step begin, when those of all steps stand one behind the other."""
    return [0, *itertools.accumulate(len(step.token) for step in steps[:-1])]


def _written(fed: list[Tensor], places: Tensor, steps: Tensor, last: Tensor) -> Tensor:
    """What each step wrote (ended, steps): what the next was fed with, and what was `last`."""
    written = torch.cat(fed)[places].roll(-1, 1).to(last.dtype)  # sos was fed in a type of its own
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
