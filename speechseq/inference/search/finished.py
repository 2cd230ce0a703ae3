"""Finished hypotheses of a beam search, and the decision which utterances may stop."""

import torch
from torch import Tensor

from speechseq.inference.search.candidates import Candidates, Picked
from speechseq.inference.search.checks import NotFiniteError
from speechseq.inference.search.history import Ended
from speechseq.inference.search.scoring import Score, widest
from speechseq.shapes import Lengths


class Finished:
    """Collects the finished hypotheses of a beam search, and decides when the search ends.

    `Beam` calls `update` after each step while `going` is True, and `all` at the end.

    Args:
        score: computes scores and their upper bounds.
        limits: (utterances), maximum number of tokens.
        positions: (utterances), number of valid memory positions.
        n_best: number of hypotheses wanted for each utterance.
    """

    def __init__(self, score: Score, limits: Lengths, positions: Lengths, n_best: int) -> None:
        self.score, self.limits, self.positions = score, limits, positions
        self.utterance = torch.arange(len(limits), device=limits.device)
        none = torch.tensor(float("-inf"), device=limits.device, dtype=widest(limits.device))
        self.best = none.repeat(len(limits), n_best)
        self.soonest = int(limits.min()) if len(limits) else 0
        self.widest = max(1.0, float(score.widths(limits.device).max()))
        self.full = False  # some utterance has its n-best, which an open hypothesis must now beat
        self.ended: list[Ended] = []
        self.step = 0

    @property
    def going(self) -> bool:
        """Return True while the search of at least one utterance goes on."""
        return len(self.utterance) > 0

    def update(self, candidates: Candidates, picked: Picked) -> Tensor | None:
        """Record the hypotheses that end at this step, by eos or at the length limit.

        Args:
            candidates: all continuations of this step.
            picked: the best of them.

        Returns:
            Rows of the utterances whose search goes on, as indices into this step's batch; None if
            all of them go on.

        Raises:
            CheckpointError: a score is not finite (a NotFiniteError, whose `rows` are the
                utterances' numbers in the whole batch).
        """
        self.step += 1
        bad = candidates.total.amax(dim=(1, 2)).isnan()
        ends = picked.ends
        event = (ends | bad.unsqueeze(1)).any()
        if self.full:
            event = event | (self.best[:, -1] >= self._most(picked)).any()
        if self.step < self.soonest and not event:  # the only synchronisation of most steps
            return None
        if bad.any():
            raise NotFiniteError(self.utterance[bad].tolist(), "score of the next token")
        self._record(ends, candidates, picked)
        scores = torch.cat([self.best, picked.total.masked_fill(ends == 0, float("-inf"))], dim=1)
        self.best = scores.topk(self.best.shape[1], dim=1).values
        self.full = bool((self.best[:, -1] > float("-inf")).any())
        at_limit = self.limits <= self.step
        self._record(picked.goes_on & at_limit.unsqueeze(1), candidates, picked)
        staying = ((self.best[:, -1] < self._most(picked)) & (at_limit == 0)).nonzero().flatten()
        if len(staying) == len(self.utterance):
            return None
        for name in ("utterance", "limits", "positions", "best"):
            setattr(self, name, getattr(self, name)[staying])
        self.soonest = int(self.limits.min()) if len(staying) else 0
        return staying

    def all(self) -> Ended:
        """Return all hypotheses that have ended, of all utterances."""
        return Ended.joined(self.ended)

    def _most(self, picked: Picked) -> Tensor:
        """Upper bound (utterances) of the scores of open hypotheses; -inf if none is open."""
        remaining = (self.limits - self.step).unsqueeze(1)
        positions = self.positions.unsqueeze(1).float()
        most = self.score.most(picked.parts, positions, remaining, self.widest)
        return most.where(picked.goes_on, float("-inf")).amax(dim=1)

    def _record(self, which: Tensor, candidates: Candidates, picked: Picked) -> None:
        utterance, place = which.nonzero(as_tuple=True)
        hypotheses = candidates.total.shape[1]
        terms = self.score.terms(picked.parts).values()
        self.ended.append(
            Ended(
                utterance=self.utterance[utterance],
                step=torch.full_like(utterance, self.step - 1),
                row=utterance * hypotheses + picked.parent[utterance, place],
                token=picked.token[utterance, place],
                log_prob=picked.log_prob[utterance, place],
                terms=torch.stack([term[utterance, place] for term in terms], dim=1),
            )
        )
