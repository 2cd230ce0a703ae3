"""Speaker judge: linear discriminant analysis of MFCC means and spreads, fitted on recordings."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from speechseq.audio.cepstrum import cepstrum
from speechseq.audio.mel import AudioConfig, frames_of, log_mel
from speechseq.errors import DataError
from speechseq.shapes import Lengths, Waveform

_COEFFICIENTS = 24  # without the first, which is loudness
_ACTIVE = 4.0  # nepers of mean log-mel below the loudest frame
_SHRINKAGE = 1e-3
_HIGHEST = 8000.0  # Hz

Features = Float[Tensor, "utterances features"]


class SpeakerJudge(NamedTuple):
    """Linear classifier of speech by speaker, which `fit` fits to recordings; call `classify`.

    Attributes:
        names: names of the speakers, sorted.
        weights: (features, speakers); features · weights + bias is the score of each speaker.
        bias: (speakers).
    """

    names: tuple[str, ...]
    weights: Float[Tensor, "features speakers"]
    bias: Float[Tensor, " speakers"]

    def classify(self, features: Features) -> list[str]:
        """Return the most likely speaker of each row of features (utterances, features)."""
        best = (features.double() @ self.weights + self.bias).argmax(1)
        return [self.names[index] for index in best.tolist()]

    def accuracy(self, features: Features, speakers: Sequence[str]) -> float:
        """Share of utterances whose speaker is recognised, 0 to 1.

        Args:
            features: (utterances, features), results of `speaker_features`.
            speakers: true speaker of each utterance.

        Raises:
            DataError: there are no utterances.
        """
        if not speakers:
            raise DataError("there are no utterances to judge")
        found = zip(self.classify(features), speakers, strict=True)
        return sum(ours == true for ours, true in found) / len(speakers)


def fit(features: Features, speakers: Sequence[str]) -> SpeakerJudge:
    """Fit a linear classifier of speech by speaker, by linear discriminant analysis.

    All speakers have the same prior probability. They share one covariance matrix, to whose
    diagonal 0.1 % of its mean is added.

    Args:
        features: (utterances, features), results of `speaker_features` for recordings.
        speakers: speaker of each utterance.

    Raises:
        DataError: there are fewer than two speakers, a speaker has only one utterance, or features
            are not finite.

    Source: Fisher 1936, "The use of multiple measurements in taxonomic problems".
    """
    names = tuple(sorted(set(speakers)))
    if len(names) < 2:
        raise DataError(f"{len(names)} speakers: there is nothing to tell apart")
    if not features.isfinite().all():
        raise DataError("features of speakers hold NaN or infinity")
    features = features.double()
    label = torch.tensor([names.index(speaker) for speaker in speakers])
    counts = label.bincount()
    if (counts < 2).any():
        raise DataError(f"{names[int(counts.argmin())]}: one utterance alone", "record another")
    means = torch.stack([features[label == index].mean(0) for index in range(len(names))])
    inner = features - means[label]
    scale = inner.square().mean(0).sqrt().clamp(min=1e-12)
    inner = inner / scale
    covariance = inner.T @ inner / (len(features) - len(names))
    covariance += _SHRINKAGE * torch.eye(len(covariance), dtype=covariance.dtype)
    directions = torch.linalg.solve(covariance, (means / scale).T)
    bias = -0.5 * (directions * (means / scale).T).sum(0)
    return SpeakerJudge(names, directions / scale[:, None], bias)


def speaker_features(
    waveform: Waveform, sample_rate: int, lengths: Lengths | None = None
) -> Features:
    """Compute features by which `SpeakerJudge` tells speakers apart: (batch, 48).

    They are means and standard deviations of 24 MFCCs over the active frames, those at most 35 dB
    below the loudest frame of the utterance. Coefficient 0, the loudness, is left out.

    Args:
        waveform: (batch, samples).
        sample_rate: samples per second.
        lengths: (batch), valid samples of each row; None if all are valid.

    Raises:
        DataError: an utterance is shorter than one window.
    """
    config = AudioConfig(sample_rate=sample_rate, fmax=min(_HIGHEST, sample_rate / 2))
    mel = log_mel(waveform, config, lengths)
    level = mel.mean(2)
    if lengths is None:
        lengths = torch.full((len(waveform),), waveform.shape[1])
    frame = torch.arange(mel.shape[1], device=mel.device)
    valid = frame < frames_of(lengths.to(mel.device), config)[:, None]
    loudest = level.where(valid, -torch.inf).amax(1, keepdim=True)
    active = (valid & (level > loudest - _ACTIVE))[..., None]
    mfcc = cepstrum(mel, _COEFFICIENTS)
    count = active.sum(1)
    mean = mfcc.where(active, 0).sum(1) / count
    spread = (mfcc - mean[:, None]).square().where(active, 0).sum(1) / count
    return torch.cat([mean, spread.sqrt()], 1)
