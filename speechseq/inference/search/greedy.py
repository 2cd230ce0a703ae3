"""Greedy search: the likeliest symbol at every step, by the model alone."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.inference.search.checks import NotFiniteError
from speechseq.inference.search.history import Ended, Written, traced
from speechseq.inference.search.hypothesis import Hypothesis
from speechseq.inference.search.interfaces import Recogniser, WeightedScorer
from speechseq.inference.search.limits import LimitConfig, never_written
from speechseq.inference.search.scoring import widest
from speechseq.nn.masks import length_mask
from speechseq.nn.rows import select_rows
from speechseq.shapes import Encoded
from speechseq.text.vocabulary import EOS, SOS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Greedy(Config):
    """Greedy search, which takes the likeliest symbol at every step.

    Pass it as `strategy` to `Transcriber.transcribe` or `recognise`. The score of a hypothesis is
    its log-probability.

    Attributes:
        limit: maximum number of tokens.

    Examples:
        >>> from speechseq.inference.transcriber import Transcriber
        >>> transcriber = Transcriber.load("runs/demo/ears")
        >>> (result,) = transcriber.transcribe(["one.wav"], strategy=Greedy())
    """

    kind: ClassVar[str] = "greedy"
    limit: LimitConfig = LimitConfig()

    def search(
        self, model: Recogniser, encoded: Encoded, scorers: Sequence[WeightedScorer] = ()
    ) -> list[list[Hypothesis]]:
        """Return a list of one hypothesis for each utterance of an encoded batch.

        Args:
            model: recogniser.
            encoded: memory (batch, positions, memory_dim) and its lengths.
            scorers: must be empty.

        Raises:
            ConfigError: there are scorers, which only a beam search supports.
            CheckpointError: the model's output has NaN (a NotFiniteError, whose `rows` are the
                utterances).
        """
        if scorers:
            raise ConfigError(
                "greedy search asks the model alone", "use a beam: --beam 1, or Beam(size=1)"
            )
        limits = self.limit.limits(encoded.memory_lengths)
        steps, ended, empty = _run(model, encoded, limits)
        lengths = encoded.memory_lengths.tolist()
        found = traced(steps, ended, ["attention"], lengths, empty.tolist())
        rows = ended.utterance.tolist()
        return [[found[place]] for place in sorted(range(len(rows)), key=rows.__getitem__)]


def _run(
    model: Recogniser, encoded: Encoded, limits: Tensor
) -> tuple[list[Written], Ended, Tensor]:
    memory, lengths = encoded
    speller, device = model.speller.prepare(), memory.device
    state = speller.start(memory, length_mask(lengths, memory.shape[1]))
    utterance = parent = torch.arange(len(memory), device=device)
    token = torch.full_like(utterance, SOS)
    log_prob = torch.zeros(len(memory), device=device)
    attention = empty = log_prob.to(widest(device))
    steps: list[Written] = []
    ended: list[Ended] = []
    while len(utterance):
        spelled = speller.step(token, state)
        state = spelled.state
        steps.append(Written(token, log_prob, parent, spelled.weights))
        empty = empty if len(steps) > 1 else spelled.log_probs[:, EOS].clone()
        never = never_written(spelled.log_probs.shape[1], device)
        log_prob, token = spelled.log_probs.masked_fill(never, float("-inf")).max(dim=1)
        attention = attention + log_prob
        bad = log_prob.isnan()
        ends = (token == EOS) | (limits[utterance] <= len(steps)) | bad
        parent = torch.arange(len(token), device=device)
        if not ends.any():
            continue
        if bad.any():
            raise NotFiniteError(utterance[bad].tolist(), "speller's output")
        where, going = ends.nonzero().flatten(), (ends == 0).nonzero().flatten()
        step = torch.full_like(where, len(steps) - 1)
        last = token[where], log_prob[where], attention[where].unsqueeze(1)
        ended.append(Ended(utterance[where], step, where, *last))
        utterance, token, log_prob, attention, parent = (
            x[going] for x in (utterance, token, log_prob, attention, parent)
        )
        state = select_rows(state, going)
    return steps, Ended.joined(ended), empty
