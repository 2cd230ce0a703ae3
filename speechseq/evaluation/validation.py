"""Free-running error rates on held-out batches, for the argument `validate` of a Trainer."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from speechseq.batch import ASRBatch
from speechseq.inference.score import Score, score
from speechseq.inference.search.greedy import Greedy
from speechseq.inference.search.limits import LimitConfig
from speechseq.inference.search.recognise import Strategy, recognise
from speechseq.text.vocabulary import Vocabulary

GREEDY = Greedy()


def error_rate(
    batches: Callable[[], Iterable[ASRBatch]],
    vocabulary: Vocabulary,
    strategy: Strategy | None = None,
    *,
    limit: LimitConfig | None = None,
) -> Callable[[nn.Module], dict[str, float]]:
    """Make a function, for `validate` of a Trainer, that returns error rates on held-out batches.

    It takes a recogniser and returns "wer" and "cer", from 0. The model reads its own output
    (free-running). Errors are summed over all batches, so that the result does not depend on the
    batching.

    Args:
        batches: function called at each validation, which returns every held-out batch once.
        vocabulary: maps the tokens of model and references to text.
        strategy: search strategy; None for greedy search.
        limit: length limit of the greedy search, if no strategy is given; None for its default.
    """
    search = strategy or (GREEDY if limit is None else Greedy(limit=limit))

    def validate(model: nn.Module) -> dict[str, float]:
        found = free_running_score(model, batches(), vocabulary, search)
        return {"wer": found.wer, "cer": found.cer}

    return validate


def free_running_score(
    model: Any, batches: Iterable[ASRBatch], vocabulary: Vocabulary, strategy: Strategy = GREEDY
) -> Score:
    """Transcribe batches with a recogniser, and compute error rates against their tokens.

    Args:
        model: a recogniser such as `speechseq.models.las.LAS`, on any device.
        batches: batches of speech with reference tokens, on any device.
        vocabulary: maps the tokens of model and references to text.
        strategy: search strategy, by default greedy.
    """
    pairs: list[tuple[str, str]] = []
    ids: list[str] = []
    for batch in batches:
        there = batch.to(next(model.parameters()).device)
        found = recognise(model, there.features, there.feature_lengths, strategy)
        texts = _texts(batch, vocabulary)
        pairs += [(t, vocabulary.decode(n[0].tokens)) for t, n in zip(texts, found, strict=True)]
        ids += batch.ids or [""] * len(batch)
    return score(pairs, ids=ids)


def _texts(batch: ASRBatch, vocabulary: Vocabulary) -> list[str]:
    lengths = batch.token_lengths.tolist()
    rows = zip(batch.tokens, lengths, strict=True)
    return [vocabulary.decode(row[:length].tolist()) for row, length in rows]
