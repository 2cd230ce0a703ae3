"""Entry point of the search: from features to n-best transcripts."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from speechseq.inference.search.checks import check_features, check_memory
from speechseq.inference.search.hypothesis import Hypothesis
from speechseq.inference.search.interfaces import Recogniser, WeightedScorer
from speechseq.nn.eval_mode import evaluating
from speechseq.shapes import Encoded, Lengths
from speechseq.shapes import Sequence as Frames


@runtime_checkable
class Strategy(Protocol):
    """Protocol of a search, such as `Greedy()` or `Beam(size=8)`; its one method is `search`.

    `recognise` and `Transcriber` encode the features and then call `search` with the memory, in
    evaluation mode and without gradients.
    """

    def search(
        self, model: Recogniser, encoded: Encoded, scorers: Sequence[WeightedScorer] = ()
    ) -> list[list[Hypothesis]]:
        """Return the best hypotheses of each utterance of an encoded batch, best first.

        Args:
            model: recogniser, whose `speller` runs the steps.
            encoded: memory (batch, positions, memory_dim) and its lengths (batch).
            scorers: language models with their weights.
        """


@torch.inference_mode()
def recognise(
    model: Recogniser,
    features: Frames,
    feature_lengths: Lengths,
    strategy: Strategy,
    *,
    scorers: Sequence[WeightedScorer] = (),
) -> list[list[Hypothesis]]:
    """Transcribe a batch of features; return the n best hypotheses of each utterance, best first.

    The features are encoded once, with the model in evaluation mode; the modes of its modules are
    restored afterwards. An utterance's transcripts depend neither on the others nor on the padding.
    To transcribe sound files, use `Transcriber.transcribe`.

    Args:
        model: recogniser, such as a LAS.
        features: (batch, frames, features).
        feature_lengths: (batch), number of valid frames.
        strategy: search, such as `Greedy()` or `Beam(size=8)`.
        scorers: language models with their weights.

    Raises:
        DataError: features are empty or not finite (`error.rows` are their indices), or a length is
            beyond the frames.
        CheckpointError: the model's output is not finite for the utterances `error.rows`.
        ConfigError: the strategy needs a CTC head that the model lacks, or lengths are not
            integers.

    Examples:
        >>> from speechseq.inference.search.beam import Beam
        >>> from speechseq.models.las import las_small
        >>> model = las_small().build(symbols=30, features=80)
        >>> features, lengths = torch.randn(2, 40, 80), torch.tensor([40, 31])
        >>> found = recognise(model, features, lengths, Beam(size=4, n_best=2))
        >>> [len(hypotheses) for hypotheses in found]
        [2, 2]
    """
    feature_lengths = check_features(features, feature_lengths)
    module = model if isinstance(model, nn.Module) else nn.Module()
    with evaluating(module):
        encoded = model.encode(features, feature_lengths)
        check_memory(encoded.memory, encoded.memory_lengths)
        return strategy.search(model, encoded, scorers)
