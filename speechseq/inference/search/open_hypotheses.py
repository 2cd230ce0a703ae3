"""Open hypotheses of a beam search, and one step of model and scorers for all of them."""

from typing import Any

import torch
from torch import Tensor

from speechseq.errors import ConfigError
from speechseq.inference.search.candidates import Candidates, Picked
from speechseq.inference.search.ctc_prefix import CTCPrefix, CTCState
from speechseq.inference.search.history import Written
from speechseq.inference.search.interfaces import Recogniser
from speechseq.inference.search.limits import ends_too_early, never_written, refuse_end
from speechseq.inference.search.scoring import Parts, Score, widest
from speechseq.nn.masks import length_mask
from speechseq.nn.rows import regroup_rows, select_rows
from speechseq.shapes import Encoded
from speechseq.text.vocabulary import EOS, SOS

NEVER = -1e30  # for symbols that a scorer excludes: finite, so that some symbol is always possible


class OpenHypotheses:
    """Open hypotheses of a beam search over a batch, with the states of model and scorers.

    `Beam` calls `step` and then `advance` for each symbol. In all tensors a row is a hypothesis.
    The rows of an utterance are adjacent, and every utterance has the same number of them; a row
    that holds no hypothesis has the log-probability -inf. The search starts with one empty
    hypothesis per utterance.

    Args:
        model: recogniser.
        score: computes the score, and has the scorers.
        encoded: memory (utterances, positions, memory_dim) and its lengths.

    Attributes:
        steps: history of the search so far, one entry per step.
        empty_log_probs: (utterances), log-probability of eos at the first step under the model
            alone.

    Raises:
        ConfigError: the score has a ctc_weight and the model no CTC head.
    """

    def __init__(self, model: Recogniser, score: Score, encoded: Encoded) -> None:
        memory, lengths = encoded
        rows, positions, _ = memory.shape
        self.speller, self.score, self.device = model.speller.prepare(), score, memory.device
        self.utterances, self.hypotheses = rows, 1
        self.first = torch.arange(rows, device=memory.device).unsqueeze(1)  # of an utterance's rows
        self.states: tuple[Any, ...] = (
            self.speller.start(memory, length_mask(lengths, positions)),
            *(weighted.scorer.start(rows, memory.device) for weighted in score.scorers),
        )
        zeros = torch.zeros(rows, device=memory.device, dtype=widest(memory.device))
        self.token = torch.full((rows,), SOS, device=memory.device)
        self.parent = self.first.flatten()
        self.log_prob, self.attention, self.length = zeros.float(), zeros, zeros
        self.fused: tuple[Tensor, ...] = (zeros,) * len(score.scorers)
        self.covered = memory.new_zeros(rows, positions, dtype=torch.float32)
        self.ctc = self._ctc(model, encoded)
        self.widths = score.widths(memory.device)
        self.never: Tensor | None = None
        self.steps: list[Written] = []

    def step(self) -> Candidates:
        """Run one step of model and scorers; return and score all continuations."""
        speller_state, *scorer_states = self.states
        spelled = self.speller.step(self.token, speller_state)
        self.steps.append(Written(self.token, self.log_prob, self.parent, spelled.weights))
        pairs = zip(self.score.scorers, scorer_states, strict=True)
        scored = [weighted.scorer.score(self.token, state) for weighted, state in pairs]
        self.states = (spelled.state, *(state for _, state in scored))
        if len(self.steps) == 1:
            self.empty_log_probs = spelled.log_probs[:, EOS].clone()
        if self.score.config.coverage_weight:
            self.covered = self.covered + spelled.weights
        return self._candidates(spelled.log_probs, [log_probs for log_probs, _ in scored])

    def advance(self, picked: Picked, staying: Tensor | None) -> None:
        """Replace the open hypotheses by the chosen continuations, and select the states' rows.

        Args:
            picked: best continuations of all utterances.
            staying: indices of the utterances whose search goes on; None for all.
        """
        rows = self.first + picked.parent
        if staying is not None:
            rows, picked = rows[staying], picked.select(staying)
        if staying is not None or rows.shape[1] != self.hypotheses:
            self.utterances, self.hypotheses = rows.shape
            starts = torch.arange(0, rows.numel(), self.hypotheses, device=self.device)
            self.first = starts.unsqueeze(1)
        self.parent = rows.flatten()
        self.states = regroup_rows(self.states, self.parent, staying)
        self.token, self.log_prob = picked.token.flatten(), picked.log_prob.flatten()
        open_still = picked.parts.attention.where(picked.goes_on, float("-inf"))
        self.attention, self.length = open_still.flatten(), picked.parts.length.flatten()
        self.fused = tuple(part.flatten() for part in picked.parts.fused)
        if self.score.config.coverage_weight:
            self.covered = self.covered.index_select(0, self.parent)
        if self.ctc:
            prefix, state = self.ctc
            prefix = prefix if staying is None else prefix.select(staying)
            state = prefix.extend(select_rows(state, self.parent), self.token)
            self.ctc = prefix, state

    def _candidates(self, log_probs: Tensor, scorer_log_probs: list[Tensor]) -> Candidates:
        config = self.score.config
        pairs = zip(self.fused, scorer_log_probs, strict=True)
        fused = [(before.unsqueeze(1) + after).clamp(min=NEVER) for before, after in pairs]
        attention = self.attention.unsqueeze(1) + log_probs
        parts = Parts(
            attention=self._apart(attention),
            ctc=self._apart(self.ctc[0].candidates(self.ctc[1])) if self.ctc else None,
            fused=tuple(map(self._apart, fused)),
            length=self._apart(self.length.unsqueeze(1) + self._widths(log_probs.shape[1])),
            covered=self._apart(self._covered()) if config.coverage_weight else None,
        )
        total = self.score.total(parts)
        never = self._never(log_probs.shape[1])
        total = total.masked_fill(never, float("-inf"))
        if config.end_threshold is not None:
            early = self._apart(ends_too_early(log_probs, never, config.end_threshold))
            total = refuse_end(total, early.squeeze(2))
        return Candidates(total, parts, self._apart(log_probs))

    def _covered(self) -> Tensor:
        """Number of positions (rows, 1) whose summed attention weights exceed the threshold."""
        over = self.covered > self.score.config.coverage_threshold
        return over.sum(dim=1, keepdim=True).float()

    def _never(self, symbols: int) -> Tensor:
        if self.never is None:
            self.never = never_written(symbols, self.device)
        return self.never

    def _widths(self, symbols: int) -> Tensor:
        if len(self.widths) not in (1, symbols):
            raise ConfigError(
                f"length.symbol_widths: {len(self.widths)} widths for {symbols} symbols",
                "give one for each id, or none where every symbol is one character",
            )
        return self.widths

    def _apart(self, x: Tensor) -> Tensor:
        """(rows, symbols) → (utterances, hypotheses, symbols)."""
        return x.view(self.utterances, -1, x.shape[1])

    def _ctc(self, model: Recogniser, encoded: Encoded) -> tuple[CTCPrefix, CTCState] | None:
        if not self.score.config.ctc_weight:
            return None
        log_probs = model.ctc_log_probs(*encoded)
        if log_probs is None:
            raise ConfigError(
                f"ctc_weight: {self.score.config.ctc_weight}, but the model has no CTC head",
                "search with --search.score.ctc_weight 0, or train the model with --model.ctc true",
            )
        prefix = CTCPrefix(log_probs, encoded.memory_lengths)
        return prefix, prefix.start()
