"""Errors for rows of a batch that cannot be transcribed, while the other rows can."""

from collections.abc import Sequence

import torch
from torch import Tensor

from speechseq.arguments import checked_lengths
from speechseq.errors import CheckpointError, DataError
from speechseq.nn.masks import length_mask

CURE = "take an earlier checkpoint, or leave these rows (error.rows) out"


class FeaturesError(DataError):
    """Error: features of some utterances of a batch are empty or have NaN or Inf.

    Its attribute `rows` has the indices of these utterances in the batch; the others can be
    recognised without them.
    """

    def __init__(self, rows: Sequence[int]) -> None:
        super().__init__(
            f"{_named(rows)}: the features are empty or hold NaN or Inf",
            "look at these recordings, or leave these rows (error.rows) out",
        )
        self.rows = tuple(rows)


class NotFiniteError(CheckpointError):
    """Error: a model's output has NaN or Inf for utterances whose features are finite.

    Its attribute `rows` has the indices of these utterances in the batch; the others can be
    recognised without them. The argument `what` names the output in the message.
    """

    def __init__(self, rows: Sequence[int], what: str) -> None:
        super().__init__(f"{_named(rows)}: the {what} has NaN or Inf", CURE)
        self.rows = tuple(rows)


def check_features(features: Tensor, feature_lengths: Tensor) -> Tensor:
    """Check features and return their lengths as int64.

    Args:
        features: (batch, frames, features), padded.
        feature_lengths: (batch), number of valid frames.

    Raises:
        FeaturesError: a row is empty or not finite within its length.
        ConfigError, DataError: lengths are not integers (batch) or exceed the frames.
    """
    name, shape = "feature_lengths", features.shape
    feature_lengths = checked_lengths(feature_lengths, shape, name, wait=True)
    wrong = (feature_lengths < 1) | _not_finite(features, feature_lengths)
    if wrong.any():
        raise FeaturesError(wrong.nonzero().flatten().tolist())
    return feature_lengths


def check_memory(memory: Tensor, memory_lengths: Tensor) -> None:
    """Check that every row of an encoder's output is finite within its length.

    Args:
        memory: (batch, positions, memory_dim).
        memory_lengths: (batch), number of valid positions.

    Raises:
        NotFiniteError: a row has NaN or Inf.
    """
    wrong = _not_finite(memory, memory_lengths)
    if wrong.any():
        raise NotFiniteError(wrong.nonzero().flatten().tolist(), "encoder's output")


def _not_finite(x: Tensor, lengths: Tensor) -> Tensor:
    mask = length_mask(lengths, x.shape[1]).unsqueeze(-1)
    sound = torch.where(mask, x, 0.0).isfinite().flatten(1).all(dim=1)
    return sound == False  # noqa: E712 - a tensor


def _named(rows: Sequence[int]) -> str:
    return f"row{'s' * (len(rows) > 1)} {', '.join(map(str, rows))}"
