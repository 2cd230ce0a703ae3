"""Random texts, mels and features of given sizes: the shared data of rows."""

from typing import NamedTuple

import torch
from torch import Tensor

SYMBOLS, MELS = 148, 80


class Sizes(NamedTuple):
    """Number of utterances, and ranges of their tokens and frames, both ends included."""

    batch: int
    tokens: tuple[int, int]
    frames: tuple[int, int]


class Speech(NamedTuple):
    """Texts and mels: tokens (batch, tokens), mel (batch, frames, mels), both lengths (batch)."""

    tokens: Tensor
    token_lengths: Tensor
    mel: Tensor
    frame_lengths: Tensor


class Recordings(NamedTuple):
    """Recordings: features (batch, frames, features), tokens (batch, tokens), both lengths."""

    features: Tensor
    feature_lengths: Tensor
    tokens: Tensor
    token_lengths: Tensor


def speech(sizes: Sizes) -> Speech:
    """Draw a batch, longest text first, for packed sequences; the first row has the most frames."""
    token_lengths = lengths(sizes.batch, sizes.tokens).sort(descending=True).values
    frame_lengths = lengths(sizes.batch, sizes.frames)
    tokens = torch.randint(1, SYMBOLS, (sizes.batch, int(token_lengths[0])))
    mel = torch.randn(sizes.batch, sizes.frames[1], MELS) * 2 - 5
    return Speech(tokens, token_lengths, mel, frame_lengths)


def lengths(batch: int, within: tuple[int, int]) -> Tensor:
    """Draw lengths from a range; the first is the maximum."""
    drawn = torch.randint(within[0], within[1] + 1, (batch,))
    drawn[0] = within[1]
    return drawn
