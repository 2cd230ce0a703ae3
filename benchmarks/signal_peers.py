"""Griffin-Lim and log-mels of other libraries, in the convention of the benchmark."""

from typing import NamedTuple, Protocol

import librosa
import numpy as np
import torch
import torchaudio
from torch import Tensor

from speechseq.audio.mel import AudioConfig

SETTINGS = AudioConfig.preset("nvidia")
_FFT = {"n_fft": SETTINGS.n_fft, "hop_length": SETTINGS.hop, "win_length": SETTINGS.window}


class Invert(Protocol):
    """Griffin-Lim function: magnitudes (batch, frames, bins) to waveforms (batch, samples)."""

    def __call__(self, target: Tensor, iterations: int, momentum: float) -> Tensor: ...


class Hear(Protocol):
    """Log-mel function: waveforms (batch, samples) to log-mels in any layout."""

    def __call__(self, sound: Tensor) -> Tensor: ...


class Peer(NamedTuple):
    """Implementation of both functions in another library."""

    name: str
    griffin_lim: Invert
    log_mel: Hear


def _torchaudio_griffin_lim(target: Tensor, iterations: int, momentum: float) -> Tensor:
    invert = torchaudio.transforms.GriffinLim(
        **_FFT, n_iter=iterations, power=1.0, momentum=momentum
    )
    return invert(target.mT)


_MEL = torchaudio.transforms.MelSpectrogram(
    SETTINGS.sample_rate, **_FFT, f_min=SETTINGS.fmin, f_max=SETTINGS.fmax, n_mels=SETTINGS.mels,
    power=1.0, norm="slaney", mel_scale="slaney",
)  # fmt: skip


def _torchaudio_log_mel(sound: Tensor) -> Tensor:
    return _MEL(sound).clamp(min=SETTINGS.floor).log()


def _librosa_griffin_lim(target: Tensor, iterations: int, momentum: float) -> Tensor:
    magnitude = target.mT.numpy()
    return torch.from_numpy(
        librosa.griffinlim(
            magnitude, n_iter=iterations, **_FFT, momentum=momentum, pad_mode="reflect",
            random_state=0,
        )
    )  # fmt: skip


_FILTERS = librosa.filters.mel(
    sr=SETTINGS.sample_rate, n_fft=SETTINGS.n_fft, n_mels=SETTINGS.mels, fmin=SETTINGS.fmin,
    fmax=SETTINGS.fmax,
)  # fmt: skip


def _librosa_log_mel(sound: Tensor) -> Tensor:
    magnitude = np.abs(librosa.stft(sound.numpy(), **_FFT, pad_mode="reflect"))
    return torch.from_numpy(np.log(np.maximum(_FILTERS @ magnitude, SETTINGS.floor)))


PEERS = (
    Peer("torchaudio", _torchaudio_griffin_lim, _torchaudio_log_mel),
    Peer("librosa", _librosa_griffin_lim, _librosa_log_mel),
)
