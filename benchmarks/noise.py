"""Random texts, mels and features of given sizes: the data that rows share."""

from typing import NamedTuple

import torch
from torch import Tensor

SYMBOLS, MELS = 148, 80


class Sizes(NamedTuple):
    """So many utterances, their tokens and frames drawn from ranges, both ends included."""

    batch: int
    tokens: tuple[int, int]
    frames: tuple[int, int]


class Speech(NamedTuple):
    """tokens (batch, tokens), mel (batch, frames, mels), and both lengths (batch)."""

    tokens: Tensor
    token_lengths: Tensor
    mel: Tensor
    frame_lengths: Tensor


class Recordings(NamedTuple):
    """features (batch, frames, features), tokens (batch, tokens), and both lengths (batch)."""

    features: Tensor
    feature_lengths: Tensor
    tokens: Tensor
    token_lengths: Tensor


def speech(sizes: Sizes) -> Speech:
    """The longest text first, as packed sequences want it; the first row has the most frames."""
    token_lengths = lengths(sizes.batch, sizes.tokens).sort(descending=True).values
    frame_lengths = lengths(sizes.batch, sizes.frames)
    tokens = torch.randint(1, SYMBOLS, (sizes.batch, int(token_lengths[0])))
    mel = torch.randn(sizes.batch, sizes.frames[1], MELS) * 2 - 5
    return Speech(tokens, token_lengths, mel, frame_lengths)


def lengths(batch: int, within: tuple[int, int]) -> Tensor:
    """Drawn from a range, the first the longest there can be."""
    drawn = torch.randint(within[0], within[1] + 1, (batch,))
    drawn[0] = within[1]
    return drawn
