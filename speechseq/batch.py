"""What a corpus hands to a model: frozen batches of padded tensors, the only place the two meet."""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from speechseq.shapes import Lengths, Magnitude, Mel, Tokens


@dataclasses.dataclass(frozen=True, kw_only=True)
class TTSBatch:
    """Texts and the speech that says them.

    tokens (batch, tokens) int64 and mel (batch, frames, mels) are padded; what stands in the
    padding is never read. Lengths are int64 (batch), every one at least 1. log_magnitude
    (batch, frames, bins) is the linear-frequency target of Tacotron 1, compressed as the mel is.
    ids names the utterances.
    """

    tokens: Tokens
    token_lengths: Lengths
    mel: Mel
    frame_lengths: Lengths
    log_magnitude: Magnitude | None = None
    ids: tuple[str, ...] = ()

    def to(self, device: torch.device | str) -> "TTSBatch":
        """The same batch on another device."""
        return dataclasses.replace(self, **_moved(self, device))

    @property
    def weight(self) -> int:
        """Valid frames: what this batch counts for when losses of several batches are averaged."""
        return int(self.frame_lengths.sum())

    def __len__(self) -> int:
        return len(self.token_lengths)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ASRBatch:
    """Speech and the texts that it says.

    features (batch, frames, features) and tokens (batch, tokens) int64 are padded; what stands in
    the padding is never read. Each row of tokens closes with eos, which token_lengths counts, so
    a transcript without symbols has length 1. Lengths are int64 (batch). ids names the utterances.
    """

    features: Mel
    feature_lengths: Lengths
    tokens: Tokens
    token_lengths: Lengths
    ids: tuple[str, ...] = ()

    def to(self, device: torch.device | str) -> "ASRBatch":
        """The same batch on another device."""
        return dataclasses.replace(self, **_moved(self, device))

    @property
    def weight(self) -> int:
        """Valid tokens: what this batch counts for when losses of several batches are averaged."""
        return int(self.token_lengths.sum())

    def __len__(self) -> int:
        return len(self.feature_lengths)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextBatch:
    """Texts for a language model.

    tokens (batch, tokens) int64 is padded; what stands in the padding is never read. Each row
    closes with eos, which token_lengths, int64 (batch), counts. ids names the texts.
    """

    tokens: Tokens
    token_lengths: Lengths
    ids: tuple[str, ...] = ()

    def to(self, device: torch.device | str) -> "TextBatch":
        """The same batch on another device."""
        return dataclasses.replace(self, **_moved(self, device))

    @property
    def weight(self) -> int:
        """Valid tokens: what this batch counts for when losses of several batches are averaged."""
        return int(self.token_lengths.sum())

    def __len__(self) -> int:
        return len(self.token_lengths)


def _moved(batch: Any, device: torch.device | str) -> dict[str, Any]:
    values = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
    return {
        name: value.to(device, non_blocking=True)
        for name, value in values.items()
        if isinstance(value, Tensor)
    }
