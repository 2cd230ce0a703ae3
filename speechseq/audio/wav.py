"""Sound files, read and written with checks that libsndfile lacks: NaN, no samples, bad headers."""

import contextlib
import io
import math
import os
import warnings
import wave
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import scipy.signal
import soundfile
import torch
import torchaudio.functional
from jaxtyping import Float
from torch import Tensor

from speechseq.audio.decoding import BLOCK, check_count, check_samples, opened, sound_blocks
from speechseq.errors import ConfigError, DataError
from speechseq.file_writing import replace_file, replacing
from speechseq.shapes import Waveform

_MOST = 1 << 29  # most numbers that `load` reads: 9 hours at 16 kHz, 2 GB
_LARGEST_WAV = (1 << 32) - 64  # bytes of samples: the header counts in 32 bits
_KERNEL = 1 << 23  # size of torchaudio's resampling kernel above which scipy's is smaller


class Header(NamedTuple):
    """Length and sample rate of a sound file.

    Attributes:
        samples: number of samples per channel.
        rate: samples per second.
    """

    samples: int
    rate: int

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.samples / self.rate


class Info(NamedTuple):
    """Length, sample rate and channels of a sound file, as it is stored.

    Attributes:
        samples: number of samples per channel.
        rate: samples per second.
        channels: number of channels.
    """

    samples: int
    rate: int
    channels: int


class WavWarning(UserWarning):
    """Warning that sound was mixed down to one channel, resampled, or clipped to [-1, 1]."""


def load(path: str | os.PathLike, sample_rate: int | None = None) -> tuple[Waveform, int]:
    """Read a WAV, FLAC, OGG or SPHERE file as a waveform of one channel.

    The format is recognised by the content. Several channels are mixed down with a WavWarning.

    Args:
        path: the file.
        sample_rate: samples per second to which the sound is resampled, with a WavWarning; None
            keeps its own rate.

    Returns:
        Waveform (1, samples) float32 in [-1, 1], and its sample rate.

    Raises:
        DataError: the file is missing, not sound, truncated or empty, or has NaN or Inf.

    Examples:
        >>> waveform, rate = load("one.wav")
    """
    name = os.fspath(path)
    if sample_rate is not None and sample_rate < 1:
        raise ConfigError(f"sample_rate: {sample_rate} is not positive", "for example 22050")
    samples, rate = _read(name)
    waveform = _one_channel(name, check_samples(name, samples))
    if sample_rate is None or sample_rate == rate:
        return waveform, rate
    _warn(f"{name}: resampled from {rate} to {sample_rate} Hz")
    return resample(waveform, rate, sample_rate), sample_rate


def header(path: str | os.PathLike) -> Header:
    """Return the number of samples and the sample rate that `load` gives at the file's own rate.

    Args:
        path: a WAV, FLAC, OGG or SPHERE file.

    Raises:
        DataError: the file is missing, not regular, not sound, truncated or empty.
    """
    return Header(*info(path)[:2])


def info(path: str | os.PathLike) -> Info:
    """Length, rate and channels of a WAV, FLAC, OGG or SPHERE file.

    Headers are read and compared with the size of the file. The sound is decoded only if they do
    not give the length (as in a streamed FLAC file).

    Args:
        path: the file.

    Raises:
        DataError: the file is missing, not regular, not sound, truncated or empty.
    """
    with opened(os.fspath(path)) as (sound, samples):
        return Info(samples, sound.samplerate, sound.channels)


def blocks(path: str | os.PathLike, seconds: float = 10.0) -> Iterator[Waveform]:
    """Read a sound file block by block, at its own rate.

    Memory holds no more than one block. Several channels are mixed down with one WavWarning.

    Args:
        path: a WAV, FLAC, OGG or SPHERE file.
        seconds: longest duration of a block.

    Yields:
        Waveforms (1, samples) float32 in [-1, 1].

    Raises:
        DataError: the file is missing, not sound, truncated or empty, or has NaN or Inf; earlier
            blocks have been yielded.
    """
    name = os.fspath(path)
    with opened(name) as (sound, samples):
        if sound.channels > 1:
            _warn(f"{name}: {sound.channels} channels mixed down to one")
        size, read = max(1, int(seconds * sound.samplerate)), 0
        for block in sound_blocks(sound, size):
            mixed = check_samples(name, block, read).mean(1)
            read += len(block)
            yield torch.from_numpy(mixed[None])
        check_count(name, samples, read)


def resample(waveform: Waveform, rate: int, wanted: int) -> Float[Tensor, "batch resampled"]:
    """Resample waveforms on a CPU.

    Args:
        waveform: (batch, samples).
        rate: samples per second of the waveforms.
        wanted: samples per second of the result.

    Returns:
        Waveforms (batch, ceil(samples · wanted / rate)).
    """
    common = math.gcd(rate, wanted)
    if (wanted // common) * (rate // common) <= _KERNEL:
        return torchaudio.functional.resample(waveform, rate, wanted)
    # rates without a common divisor would need a torchaudio kernel of gigabytes
    changed = scipy.signal.resample_poly(waveform.numpy(), wanted, rate, axis=1)
    return torch.from_numpy(changed.astype(np.float32))


def save(path: str | os.PathLike, waveform: Tensor, rate: int) -> None:
    """Write a waveform as a 16-bit WAV, atomically.

    Args:
        path: the file, which is replaced if it exists.
        waveform: (samples) or (1, samples) in [-1, 1]; samples beyond are clipped with a
            WavWarning.
        rate: samples per second.

    Raises:
        DataError: the waveform has NaN or Inf, no samples, or more than one channel.
        ConfigError: the rate is not positive.
        MachineError: the folder is missing, not writable or full.

    Examples:
        >>> save("tone.wav", 0.3 * torch.sin(torch.arange(16000) / 6), rate=16000)
    """
    name = os.fspath(path)
    if rate < 1:
        raise ConfigError(f"rate: {rate} is not positive", "give samples a second, e.g. 22050")
    samples = mono(name, waveform)
    sound = io.BytesIO()
    soundfile.write(sound, to_int16(name, samples), rate, format="WAV", subtype="PCM_16")
    if os.path.isdir(name):
        raise DataError(f"{name}: is a directory", "name a file inside it")
    replace_file(name, sound.getbuffer())


@contextlib.contextmanager
def writer(path: str | os.PathLike, rate: int) -> Iterator[Callable[[Tensor], None]]:
    """Open a 16-bit WAV for writing, in a `with` block; the file appears at its end.

    Memory holds one waveform.

    Args:
        path: the file, which is replaced if it exists.
        rate: samples per second.

    Yields:
        A function that appends a waveform (samples) or (1, samples) in [-1, 1].

    Raises:
        DataError: a waveform has NaN or Inf; the sound exceeds the limit of a WAV, 4 GiB.
        MachineError: the folder is missing, not writable or full.
    """
    name = os.fspath(path)
    with (
        replacing(name) as handle,
        os.fdopen(handle, "wb", closefd=False) as file,
        wave.open(file, "wb") as sound,
    ):
        sound.setparams((1, 2, rate, 0, "NONE", ""))

        def append(waveform: Tensor) -> None:
            samples = to_int16(name, mono(name, waveform))
            if 2 * (sound.tell() + len(samples)) > _LARGEST_WAV:
                problem = f"{name}: a wav holds at most 4 GiB of sound"
                raise DataError(problem, "divide the text into several")
            sound.writeframesraw(samples.astype("<i2").tobytes())

        yield append


def _read(name: str) -> tuple[np.ndarray, int]:
    with opened(name) as (sound, samples):
        if samples * sound.channels > _MOST:
            raise DataError(
                f"{name}: {samples / sound.samplerate / 3600:.1f} hours do not fit in memory",
                "read it in windows: speechseq transcribe --window 20, or wav.blocks",
            )
        read = list(sound_blocks(sound, max(1, BLOCK // sound.channels)))
        check_count(name, samples, sum(map(len, read)))
        return np.concatenate(read), sound.samplerate


def _one_channel(name: str, samples: np.ndarray) -> Waveform:
    channels = samples.shape[1]
    if channels > 1:
        _warn(f"{name}: {channels} channels mixed down to one")
        samples = samples.mean(1, keepdims=True)
    return torch.from_numpy(np.ascontiguousarray(samples.T))


def mono(name: str, waveform: Tensor) -> np.ndarray:
    """Check that a waveform can be saved, and return its samples.

    Args:
        name: name of the file, for messages.
        waveform: (samples) or (1, samples).

    Returns:
        The samples (samples) in float64.

    Raises:
        DataError: the waveform has NaN or Inf, no samples, or more than one channel.
    """
    samples = waveform.detach().to("cpu", torch.float64)
    if samples.dim() == 2 and len(samples) == 1:
        samples = samples[0]
    if samples.dim() != 1:
        raise DataError(
            f"{name}: waveform of shape {tuple(samples.shape)} is not (samples,) or (1, samples)",
            "save the items of a batch one by one",
        )
    if not len(samples):
        raise DataError(f"{name}: waveform has 0 samples", "there is nothing to save")
    finite = samples.isfinite()
    if not bool(finite.all()):
        raise DataError(f"{name}: {int((~finite).sum())} samples are NaN or Inf, nothing written")
    return samples.numpy()


def to_int16(name: str, samples: np.ndarray) -> np.ndarray:
    """Convert samples to int16; samples beyond [-1, 1] are clipped, with a WavWarning.

    Args:
        name: name of the file, for the warning.
        samples: floats in [-1, 1], of any shape.

    Returns:
        int16 samples of the same shape; 1 becomes 32767.
    """
    if (peak := float(np.abs(samples).max())) > 1:
        _warn(f"{name}: clipped, the loudest of its samples is {peak:.3g} and 1 is full scale")
    return np.rint(samples * 32768).clip(-32768, 32767).astype(np.int16)


def _warn(message: str) -> None:
    warnings.warn(message, WavWarning, stacklevel=3)
