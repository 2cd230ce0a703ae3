"""Scores of given transcripts, computed by teacher forcing."""

from collections.abc import Sequence

import torch
from torch import nn

from speechseq.errors import DataError
from speechseq.inference.search.candidates import picked_at
from speechseq.inference.search.checks import check_features, check_memory
from speechseq.inference.search.history import Ended, traced
from speechseq.inference.search.hypothesis import Hypothesis
from speechseq.inference.search.interfaces import Recogniser, WeightedScorer
from speechseq.inference.search.open_hypotheses import OpenHypotheses
from speechseq.inference.search.scoring import Score, ScoreConfig
from speechseq.nn.eval_mode import evaluating
from speechseq.shapes import Encoded, Lengths, Mel
from speechseq.text.vocabulary import BLANK, EOS, PAD, SOS

Ids = Sequence[Sequence[Sequence[int]]]


@torch.inference_mode()
def rescore(
    model: Recogniser,
    features: Mel,
    feature_lengths: Lengths,
    transcripts: Ids,
    score: ScoreConfig,
    *,
    scorers: Sequence[WeightedScorer] = (),
) -> list[list[Hypothesis]]:
    """Score given transcripts of each utterance of a batch, by teacher forcing.

    Args:
        model: recogniser.
        features: (batch, frames, features).
        feature_lengths: (batch), number of valid frames.
        transcripts: for each utterance, the ids of its transcripts. A transcript that does not end
            with eos counts as unfinished. `Hypothesis.ids` and the tokens of an ASRBatch have this
            form.
        score: score of the search, whose end threshold is ignored.
        scorers: language models with their weights.

    Returns:
        For each utterance, the scored transcripts in the given order.

    Raises:
        DataError: a transcript has no ids, or control ids other than a final eos; see also
            `recognise`.
        CheckpointError, ConfigError: see `recognise`.
    """
    feature_lengths = check_features(features, feature_lengths)
    rows = [row for row, own in enumerate(transcripts) for _ in own]
    flat = [list(ids) for own in transcripts for ids in own]
    if not flat:
        return [[] for _ in transcripts]
    _check(flat, rows)
    module = model if isinstance(model, nn.Module) else nn.Module()
    with evaluating(module):
        encoded = model.encode(features, feature_lengths)
        check_memory(encoded.memory, encoded.memory_lengths)
        index = torch.tensor(rows, device=encoded.memory.device)
        each = Encoded(*(x[index] for x in encoded))
        scored = iter(_forced(OpenHypotheses(model, Score(score, scorers), each), flat, each))
    return [[next(scored) for _ in own] for own in transcripts]


def _forced(
    hypotheses: OpenHypotheses, flat: list[list[int]], encoded: Encoded
) -> list[Hypothesis]:
    """Run one hypothesis per row along the given ids."""
    lengths = torch.tensor([len(ids) for ids in flat], device=hypotheses.device)
    padded = torch.full((len(flat), int(lengths.max())), EOS)
    for row, ids in enumerate(flat):
        padded[row, : len(ids)] = torch.tensor(ids)
    ended: list[Ended] = []
    for step, token in enumerate(padded.to(hypotheses.device).unbind(1), start=1):
        picked = picked_at(hypotheses.step(), token.unsqueeze(1))
        rows = (lengths == step).nonzero().flatten()
        terms = torch.cat(list(hypotheses.score.terms(picked.parts).values()), dim=1)
        at = torch.full_like(rows, step - 1)
        ended.append(Ended(rows, at, rows, token[rows], picked.log_prob[rows, 0], terms[rows]))
        hypotheses.advance(picked, None)
    joined = Ended.joined(ended)
    order = torch.argsort(joined.utterance).tolist()
    positions = encoded.memory_lengths.tolist()
    names, empty = hypotheses.score.names, hypotheses.empty_log_probs.tolist()
    return traced(hypotheses.steps, joined.take(order), names, positions, empty)


def _check(flat: list[list[int]], rows: list[int]) -> None:
    for ids, row in zip(flat, rows, strict=True):
        inner: set[int] = {*ids[:-1]} & {PAD, EOS, SOS, BLANK}
        if not ids or inner or ids[-1] in (PAD, SOS, BLANK):
            raise DataError(
                f"transcripts[{row}]: {ids} is no transcript",
                "give symbols' ids, and eos at the end alone",
            )
