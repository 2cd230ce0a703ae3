"""Decoding of a batch of features, in which a failed utterance does not affect the others."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from speechseq.errors import CheckpointError, DataError, MachineError, SpeechseqError
from speechseq.inference.search.checks import (
    FeaturesError,
    NotFiniteError,
    check_features,
    check_memory,
)
from speechseq.inference.search.hypothesis import Hypothesis
from speechseq.inference.search.interfaces import WeightedScorer
from speechseq.inference.search.recognise import Strategy
from speechseq.models.las import LAS
from speechseq.nn.eval_mode import evaluating


class Decoded(NamedTuple):
    """Result of `decode` for one utterance.

    Attributes:
        hypotheses: transcripts that the search found, best first.
        ctc_log_probs: (positions, symbols), log-probabilities of the CTC head, of which word times
            are made; None if the model has no such head.
    """

    hypotheses: list[Hypothesis]
    ctc_log_probs: Tensor | None


def decode(
    model: LAS,
    features: Sequence[Tensor],
    strategy: Strategy,
    scorers: Sequence[WeightedScorer] = (),
) -> list[Decoded | SpeechseqError]:
    """Search for the transcripts of utterances, all in one batch, and survive those that fail.

    If the batch does not fit in memory, each half of it is decoded alone. Utterances whose features
    or outputs have NaN or Inf are left out, and the others are decoded again. (`recognise` raises
    an error in these cases.)

    Args:
        model: recogniser.
        features: features (frames, features) of each utterance.
        strategy: search strategy, such as `Greedy()` or `Beam(size=8)`.
        scorers: language models with their weights.

    Returns:
        For each utterance its result, or the error because of which it has none.
    """
    if not features:
        return []
    try:
        return list(_search(model, features, strategy, scorers))
    except (FeaturesError, NotFiniteError) as error:
        bad = {row: _of_one(error) for row in error.rows}
        others = [x for row, x in enumerate(features) if row not in bad]
        found = iter(decode(model, others, strategy, scorers))
        return [bad[row] if row in bad else next(found) for row in range(len(features))]
    except (MemoryError, RuntimeError) as error:
        if not _memory_is_full(error):
            raise
    if len(features) == 1:
        return [MachineError("does not fit in memory", "read it in shorter windows")]
    half = len(features) // 2
    parts = (features[:half], features[half:])
    return [result for part in parts for result in decode(model, part, strategy, scorers)]


@torch.inference_mode()
def _search(
    model: LAS, features: Sequence[Tensor], strategy: Strategy, scorers: Sequence[WeightedScorer]
) -> list[Decoded]:
    weight = next(model.parameters())  # its device and precision
    lengths = torch.tensor([len(x) for x in features], device=weight.device)
    padded = pad_sequence(list(features), batch_first=True).to(weight)
    check_features(padded, lengths)
    with evaluating(model):
        encoded = model.encode(padded, lengths)
        check_memory(*encoded)
        found = strategy.search(model, encoded, scorers)
        ctc = model.ctc_log_probs(*encoded)
    positions = encoded.memory_lengths.tolist()
    return [
        Decoded(found[row], None if ctc is None else ctc[row, : positions[row]].cpu())
        for row in range(len(features))
    ]


def _of_one(error: FeaturesError | NotFiniteError) -> SpeechseqError:
    if isinstance(error, FeaturesError):
        return DataError("its features hold NaN or Inf", "look at this recording")
    return CheckpointError(
        "the model's output has NaN or Inf",
        "take an earlier checkpoint; training diverged before this one",
    )


def _memory_is_full(error: Exception) -> bool:
    words = str(error).lower()
    full = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return full or "can't allocate memory" in words or "out of memory" in words
