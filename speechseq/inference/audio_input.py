"""Audio input of a recogniser: files or waveforms, checked, and resampled to the model's rate."""

import os

import torch
from torch import Tensor

from speechseq.audio import wav
from speechseq.audio.mel import AudioConfig
from speechseq.audio.rates import check_rate
from speechseq.errors import DataError
from speechseq.shapes import Waveform

Sound = str | os.PathLike[str] | tuple[Tensor, int]
_LOUDEST = 100.0  # a higher peak means that the samples are on the scale of 16-bit integers


def read_sound(sound: Sound, audio: AudioConfig, longest_seconds: float) -> Waveform:
    """Load a sound for a model: mono, at the model's sample rate, as a waveform (1, samples).

    Args:
        sound: path of a file, or a pair (waveform, sample rate) with the waveform (samples,) or (1,
            samples).
        audio: the model's audio settings.
        longest_seconds: maximum duration in seconds; a longer sound is refused.

    Raises:
        DataError: the file is missing, not sound or truncated; the waveform has NaN or Inf, or is
            shorter than one frame or longer than `longest_seconds`.
    """
    if isinstance(sound, tuple):
        waveform, rate = _checked(*sound)
        _check_seconds("", waveform.shape[1] / rate, longest_seconds)
        if rate != audio.sample_rate:
            waveform = wav.resample(waveform, rate, audio.sample_rate)
        return _long_enough("", waveform, audio)
    name = f"{os.fspath(sound)}: "
    _check_seconds(name, wav.header(sound).seconds, longest_seconds)
    return _long_enough(name, wav.load(sound, audio.sample_rate)[0], audio)


def _checked(waveform: Tensor, rate: int) -> tuple[Waveform, int]:
    check_rate("waveform", rate)
    waveform = waveform.detach().cpu()
    if waveform.dim() == 1:
        waveform = waveform[None]
    if waveform.dim() != 2 or len(waveform) != 1:
        raise DataError(
            f"waveform of shape {tuple(waveform.shape)} is not (samples,) or (1, samples)",
            "hand over the items of a batch one by one, and the mean of channels",
        )
    if not waveform.shape[1]:
        raise DataError("waveform has 0 samples", "there is nothing to transcribe")
    if not waveform.is_floating_point() or float(waveform.abs().max()) > _LOUDEST:
        raise DataError(
            f"waveform of {waveform.dtype} up to {float(waveform.abs().max()):g}, where floats in "
            "[-1, 1] are full scale",
            "divide it by 32768 when it holds 16-bit integers",
        )
    finite = waveform.isfinite().all(0)
    if not bool(finite.all()):
        bad = int((finite == 0).sum())
        first = int(finite.int().argmin())
        raise DataError(f"{bad} samples are NaN or Inf, the first is sample {first}", "cut them")
    return waveform.to(torch.float32), rate


def _check_seconds(name: str, seconds: float, longest_seconds: float) -> None:
    if seconds > longest_seconds:
        raise DataError(
            f"{name}{seconds:.1f} seconds at once, more than the {longest_seconds:g} that fit in "
            "memory",
            "read it in windows: speechseq transcribe --window 20, or "
            "speechseq.inference.long_audio.transcribe_long",
        )


def _long_enough(name: str, waveform: Waveform, audio: AudioConfig) -> Waveform:
    if waveform.shape[1] < audio.shortest:
        milliseconds = 1000 / audio.sample_rate
        raise DataError(
            f"{name}{waveform.shape[1] * milliseconds:.1f} ms of sound, too short for one frame "
            f"of {audio.shortest * milliseconds:.1f} ms",
            "leave it out, or record it again",
        )
    return waveform
