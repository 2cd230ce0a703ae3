"""Batches: frozen dataclasses of padded tensors, the only interface between corpora and models."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from speechseq.arguments import checked_lengths, checked_tokens
from speechseq.errors import ConfigError
from speechseq.shapes import Lengths, Magnitude, Mel, Reference, Tokens


@dataclasses.dataclass(frozen=True, kw_only=True)
class TTSBatch:
    """Batch of texts and their speech, for text to speech.

    Attributes:
        tokens: (batch, tokens) int64, padded; the padding is never read.
        token_lengths: (batch) int64, number of valid tokens, at least 1.
        mel: (batch, frames, mels), padded; the padding is never read.
        frame_lengths: (batch) int64, number of valid frames, at least 1.
        log_magnitude: (batch, frames, bins), linear-frequency target of Tacotron 1, compressed in
            the same way as the mel.
        reference: (batch, reference_frames, mels), mel of the speech that a style is inferred from;
            None takes `mel`.
        reference_lengths: (batch), number of valid frames of `reference`.
        speaker: (batch), ids of the speakers; None for a model of one voice.
        ids: names of the utterances.

    Raises:
        ConfigError: tokens or lengths have another shape or dtype; all integer dtypes are
            converted.
        DataError: a length is below 1 or exceeds the padded size; this is checked on the CPU only.

    Examples:
        >>> batch = TTSBatch(
        ...     tokens=torch.tensor([[7, 8, 9, 1], [7, 1, 0, 0]]),
        ...     token_lengths=torch.tensor([4, 2]),
        ...     mel=torch.randn(2, 30, 80),
        ...     frame_lengths=torch.tensor([30, 21]),
        ... )
        >>> len(batch), batch.weight
        (2, 51)
    """

    tokens: Tokens
    token_lengths: Lengths
    mel: Mel
    frame_lengths: Lengths
    log_magnitude: Magnitude | None = None
    speaker: Lengths | None = None
    reference: Reference | None = None
    reference_lengths: Lengths | None = None
    ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        padded = {"token_lengths": self.tokens, "frame_lengths": self.mel}
        if (self.reference is None) != (self.reference_lengths is None):
            problem = "reference and reference_lengths: one is given without the other"
            raise ConfigError(problem, "give both, or neither")
        if self.reference is not None:
            padded["reference_lengths"] = self.reference
        _convert(self, padded)

    def to(self, device: torch.device | str) -> "TTSBatch":
        """Return the same batch on another device; tensors already there are shared."""
        return dataclasses.replace(self, **_moved(self, device))

    @property
    def weight(self) -> int:
        """Number of valid frames: the weight of this batch in the mean of losses over batches."""
        return int(self.frame_lengths.sum())

    def __len__(self) -> int:
        return len(self.token_lengths)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ASRBatch:
    """Batch of speech and its transcripts, for recognition.

    Attributes:
        features: (batch, frames, features), padded; the padding is never read.
        feature_lengths: (batch) int64, at least 1.
        tokens: (batch, tokens) int64, padded; each row ends with eos (end of sequence).
        token_lengths: (batch) int64, eos included, so an empty transcript has length 1.
        ids: names of the utterances.

    Raises:
        ConfigError: tokens or lengths have another shape or dtype; all integer dtypes are
            converted.
        DataError: a length is below 1 or exceeds the padded size; this is checked on the CPU only.

    Examples:
        >>> batch = ASRBatch(
        ...     features=torch.randn(2, 30, 80),
        ...     feature_lengths=torch.tensor([30, 21]),
        ...     tokens=torch.tensor([[7, 8, 9, 1], [7, 1, 0, 0]]),
        ...     token_lengths=torch.tensor([4, 2]),
        ... )
        >>> len(batch), batch.weight
        (2, 6)
    """

    features: Mel
    feature_lengths: Lengths
    tokens: Tokens
    token_lengths: Lengths
    ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _convert(self, {"token_lengths": self.tokens, "feature_lengths": self.features})

    def to(self, device: torch.device | str) -> "ASRBatch":
        """Return the same batch on another device; tensors already there are shared."""
        return dataclasses.replace(self, **_moved(self, device))

    @property
    def weight(self) -> int:
        """Number of valid tokens: the weight of this batch in the mean of losses over batches."""
        return int(self.token_lengths.sum())

    def __len__(self) -> int:
        return len(self.feature_lengths)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextBatch:
    """Batch of texts, for language models.

    Attributes:
        tokens: (batch, tokens) int64, padded; each row ends with eos (end of sequence).
        token_lengths: (batch) int64, eos included.
        ids: names of the texts.

    Raises:
        ConfigError: tokens or lengths have another shape or dtype; all integer dtypes are
            converted.
        DataError: a length is below 1 or exceeds the padded size; this is checked on the CPU only.
    """

    tokens: Tokens
    token_lengths: Lengths
    ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _convert(self, {"token_lengths": self.tokens})

    def to(self, device: torch.device | str) -> "TextBatch":
        """Return the same batch on another device; tensors already there are shared."""
        return dataclasses.replace(self, **_moved(self, device))

    @property
    def weight(self) -> int:
        """Number of valid tokens: the weight of this batch in the mean of losses over batches."""
        return int(self.token_lengths.sum())

    def __len__(self) -> int:
        return len(self.token_lengths)


def _convert(batch: Any, padded: Mapping[str, Tensor]) -> None:
    """Check and convert tokens and lengths; `padded` maps each field of lengths to its rows."""
    tokens = checked_tokens(batch.tokens)
    object.__setattr__(batch, "tokens", tokens)
    for name, rows in padded.items():
        shape = (len(tokens), *rows.shape[1:])
        lengths = checked_lengths(getattr(batch, name), shape, name, least=1)
        object.__setattr__(batch, name, lengths)


def _moved(batch: Any, device: torch.device | str) -> dict[str, Any]:
    values = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
    return {
        name: value.to(device, non_blocking=True)
        for name, value in values.items()
        if isinstance(value, Tensor)
    }
