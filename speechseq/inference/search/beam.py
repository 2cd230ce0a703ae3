"""Beam search over all utterances of a batch and all their hypotheses at once."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, ClassVar

from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.inference.search.candidates import pick
from speechseq.inference.search.finished import Finished
from speechseq.inference.search.history import ranked, traced
from speechseq.inference.search.hypothesis import Hypothesis
from speechseq.inference.search.interfaces import Recogniser, WeightedScorer
from speechseq.inference.search.limits import LimitConfig
from speechseq.inference.search.open_hypotheses import OpenHypotheses
from speechseq.inference.search.scoring import Score, ScoreConfig
from speechseq.ranges import Range
from speechseq.shapes import Encoded


@dataclasses.dataclass(frozen=True, kw_only=True)
class Beam(Config):
    """Beam search, which keeps the `size` best open hypotheses of each utterance at every step.

    Pass it as `strategy` to `Transcriber.transcribe` or `recognise`. At each step, all open
    hypotheses are continued by every symbol, and the `size` continuations with the best scores are
    kept. One that ends with eos is finished. The search of an utterance ends when no open
    hypothesis can enter the `n_best` finished ones any more, or at the length limit.

    Attributes:
        size: number of hypotheses kept per utterance.
        n_best: number of hypotheses to return per utterance.
        score: weights of the terms of the score, such as CTC and coverage.
        limit: maximum number of tokens.

    Examples:
        >>> from speechseq.inference.search.scoring import ScoreConfig
        >>> from speechseq.inference.transcriber import Transcriber
        >>> transcriber = Transcriber.load("runs/demo/ears")
        >>> search = Beam(size=4, score=ScoreConfig(end_threshold=1.5))
        >>> (result,) = transcriber.transcribe(["one.wav"], strategy=search)
    """

    kind: ClassVar[str] = "beam"
    size: Annotated[int, Range(1, 4096)] = 8
    n_best: Annotated[int, Range(1, 4096)] = 1
    score: ScoreConfig = ScoreConfig()
    limit: LimitConfig = LimitConfig()

    def check(self) -> None:
        """Raise ConfigError if `n_best` is larger than the beam."""
        if self.n_best > self.size:
            raise ConfigError(
                f"n_best: {self.n_best} hypotheses from a beam of {self.size}",
                "use at most the beam's size",
            )

    def search(
        self, model: Recogniser, encoded: Encoded, scorers: Sequence[WeightedScorer] = ()
    ) -> list[list[Hypothesis]]:
        """Return the n-best list of each utterance of an encoded batch, best first.

        Args:
            model: recogniser.
            encoded: memory (batch, positions, memory_dim) and its lengths.
            scorers: language models with their weights.

        Raises:
            ConfigError: the score has a ctc_weight and the model no CTC head, or scorers share a
                name.
            CheckpointError: the model's output has NaN (a NotFiniteError, whose `rows` are the
                utterances).
        """
        score = Score(self.score, scorers)
        lengths = encoded.memory_lengths
        hypotheses = OpenHypotheses(model, score, encoded)
        finished = Finished(score, self.limit.limits(lengths), lengths, self.n_best)
        while finished.going:
            candidates = hypotheses.step()
            picked = pick(candidates, self.size)
            staying = finished.update(candidates, picked)
            if finished.going:
                hypotheses.advance(picked, staying)
        ended = finished.all()
        places = ranked(ended, len(lengths), self.n_best)
        chosen = ended.take([place for own in places for place in own])
        empty = hypotheses.empty_log_probs.tolist()
        results = iter(traced(hypotheses.steps, chosen, score.names, lengths.tolist(), empty))
        return [[next(results) for _ in own] for own in places]


def usual_beam(size: int, n_best: int = 1) -> Beam:
    """Return the beam search that `Transcriber.transcribe` uses by default.

    A hypothesis that ends too early often has a higher summed log-probability than the whole
    transcript, so the score has an end threshold (see `ScoreConfig`), which `Beam` alone has not.

    Args:
        size: number of hypotheses kept per utterance.
        n_best: number of hypotheses to return per utterance.
    """
    return Beam(size=size, n_best=n_best, score=ScoreConfig(end_threshold=1.5))
