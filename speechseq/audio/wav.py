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

from speechseq import files
from speechseq.audio.container import SOUND, Checked, checked
from speechseq.audio.part import Part
from speechseq.audio.rates import check_rate
from speechseq.errors import ConfigError, DataError
from speechseq.file_writing import replace_file, replacing
from speechseq.shapes import Waveform

_BLOCK = 1 << 20  # numbers read at a time, so that no header decides how much is allocated
_AGAIN = "it is cut or damaged: copy it again, or convert it to 16-bit WAV"
_MOST = 1 << 29  # most numbers that `load` reads: 9 hours at 16 kHz, 2 GB
_BY_BYTES = ("WAV", "WAVEX", "RF64", "NIST")  # formats whose size in bytes gives the samples
_PLAIN = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
_DENSEST = 1 << 14  # most samples per byte of an OGG file, in silence
_LARGEST_WAV = (1 << 32) - 64  # bytes of samples: the header counts in 32 bits
_LOUDEST = 100.0  # a higher peak means the scale of 16-bit integers, not of [-1, 1]
_KERNEL = 1 << 23  # size of torchaudio's resampling kernel above which scipy's is smaller


class Header(NamedTuple):
    """Number of samples per channel, and sample rate (samples per second), of a sound file."""

    samples: int
    rate: int

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.samples / self.rate


class Info(NamedTuple):
    """Samples per channel, sample rate (per second) and channels of a file, as it is stored."""

    samples: int
    rate: int
    channels: int


class WavWarning(UserWarning):
    """Warning that sound was mixed down to one channel, resampled, or clipped to [-1, 1]."""


def load(path: str | os.PathLike, sample_rate: int | None = None) -> tuple[Waveform, int]:
    """Read a WAV, FLAC, OGG or SPHERE file: waveform (1, samples) float32, and sample rate.

    The format is recognised by the content. Several channels are mixed down, and the sound is
    resampled to `sample_rate` samples per second (None keeps its rate); both give a WavWarning.

    Raises:
        DataError: the file is missing, not sound, truncated or empty, or has NaN or Inf.

    Examples:
        >>> waveform, rate = load("one.wav")
    """
    name = os.fspath(path)
    if sample_rate is not None and sample_rate < 1:
        raise ConfigError(f"sample_rate: {sample_rate} is not positive", "for example 22050")
    samples, rate = _read(name)
    waveform = _one_channel(name, _check_samples(name, samples))
    if sample_rate is None or sample_rate == rate:
        return waveform, rate
    _warn(f"{name}: resampled from {rate} to {sample_rate} Hz")
    return resample(waveform, rate, sample_rate), sample_rate


def header(path: str | os.PathLike) -> Header:
    """Return the number of samples and the sample rate that `load` gives at the file's own rate.

    Raises:
        DataError: the file is missing, not regular, not sound, truncated or empty.
    """
    return Header(*info(path)[:2])


def info(path: str | os.PathLike) -> Info:
    """Length, rate and channels of a WAV, FLAC, OGG or SPHERE file.

    Headers are read and compared with the size of the file. The sound is decoded only if they do
    not give the length (as in a streamed FLAC file).

    Raises:
        DataError: the file is missing, not regular, not sound, truncated or empty.
    """
    with _opened(os.fspath(path)) as (sound, samples):
        return Info(samples, sound.samplerate, sound.channels)


def blocks(path: str | os.PathLike, seconds: float = 10.0) -> Iterator[Waveform]:
    """Read a file in blocks (1, samples) of at most `seconds`, float32, at its own rate.

    Memory holds no more than one block. Several channels are mixed down with one WavWarning.

    Raises:
        DataError: see `load`; earlier blocks have been yielded.
    """
    name = os.fspath(path)
    with _opened(name) as (sound, samples):
        if sound.channels > 1:
            _warn(f"{name}: {sound.channels} channels mixed down to one")
        size, read = max(1, int(seconds * sound.samplerate)), 0
        for block in _blocks(sound, size):
            mixed = _check_samples(name, block, read).mean(1)
            read += len(block)
            yield torch.from_numpy(mixed[None])
        _check_count(name, samples, read)


def resample(waveform: Waveform, rate: int, wanted: int) -> Float[Tensor, "batch resampled"]:
    """Resample a waveform (batch, samples) from `rate` to `wanted` samples per second, on a CPU."""
    common = math.gcd(rate, wanted)
    if (wanted // common) * (rate // common) <= _KERNEL:
        return torchaudio.functional.resample(waveform, rate, wanted)
    # rates without a common divisor would need a torchaudio kernel of gigabytes
    changed = scipy.signal.resample_poly(waveform.numpy(), wanted, rate, axis=1)
    return torch.from_numpy(changed.astype(np.float32))


def save(path: str | os.PathLike, waveform: Tensor, rate: int) -> None:
    """Write a waveform (samples,) or (1, samples) in [-1, 1] as a 16-bit WAV, atomically.

    Samples beyond [-1, 1] are clipped with a WavWarning.

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
    """Context manager: yields a function that appends waveforms (samples,) to a 16-bit WAV.

    The file appears at the end, with `rate` samples per second. Memory holds one waveform.

    Raises:
        DataError: a waveform has NaN or Inf; the sound exceeds the limit of a WAV, 4 GiB.
        MachineError: see `save`.
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
    with _opened(name) as (sound, samples):
        if samples * sound.channels > _MOST:
            raise DataError(
                f"{name}: {samples / sound.samplerate / 3600:.1f} hours do not fit in memory",
                "read it in windows: speechseq transcribe --window 20, or wav.blocks",
            )
        read = list(_blocks(sound, max(1, _BLOCK // sound.channels)))
        _check_count(name, samples, sum(map(len, read)))
        return np.concatenate(read), sound.samplerate


def _blocks(sound: soundfile.SoundFile, size: int) -> Iterator[np.ndarray]:
    while len(block := sound.read(size, dtype="float32", always_2d=True)):
        yield block


@contextlib.contextmanager
def _opened(name: str) -> Iterator[tuple[soundfile.SoundFile, int]]:
    """Open and check a file; gives the decoder and the number of samples."""
    try:
        with files.opened(name, SOUND) as file:
            found = checked(name, file)
            with _decoder(found) as sound:
                check_rate(name, sound.samplerate)
                samples = _told(found, sound, os.fstat(file.fileno()).st_size)
                if samples is not None:
                    _check_count(name, 0, samples)
                    yield sound, samples
                    return
                samples = sum(map(len, _blocks(sound, max(1, _BLOCK // sound.channels))))
                _check_count(name, found.promised or 0, samples)
            with _decoder(found) as sound:
                yield sound, samples
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
        raise DataError(f"{name}: cannot be decoded: {error}", _AGAIN) from None


def _decoder(found: Checked) -> soundfile.SoundFile:
    """Open libsndfile at the beginning of the sound."""
    if isinstance(found.file, Part):
        found.file.seek(0)
        return soundfile.SoundFile(found.file)
    os.lseek(found.file.fileno(), 0, os.SEEK_SET)
    return soundfile.SoundFile(found.file.fileno(), closefd=False)


def _told(found: Checked, sound: soundfile.SoundFile, size: int) -> int | None:
    """Number of samples; None if only an unverified header gives it."""
    if found.samples is not None:
        return found.samples
    by_bytes = sound.format in _BY_BYTES and sound.subtype in _PLAIN
    likely = sound.format == "OGG" and 0 < sound.frames <= size * _DENSEST
    return int(sound.frames) if by_bytes or likely else None


def _check_count(name: str, claimed: int, samples: int) -> None:
    if samples < claimed:
        problem = f"{name}: cut: the header claims {claimed} samples, {samples} are there"
        raise DataError(problem, _AGAIN)
    if samples <= 0:
        raise DataError(f"{name}: has 0 samples", "remove it or make it again")


def _check_samples(name: str, samples: np.ndarray, before: int = 0) -> np.ndarray:
    finite = np.isfinite(samples).all(1)
    if not finite.all():
        count, first = int((~finite).sum()), before + int(finite.argmin())
        problem = f"{name}: {count} samples are NaN or Inf, the first is sample {first}"
        raise DataError(problem, "make it again, or cut that part out")
    if (peak := float(np.abs(samples).max())) > _LOUDEST:
        problem = f"{name}: float samples up to {peak:g}, where [-1, 1] is full scale"
        raise DataError(problem, "divide them by 32768 when they were 16-bit integers")
    return samples


def _one_channel(name: str, samples: np.ndarray) -> Waveform:
    channels = samples.shape[1]
    if channels > 1:
        _warn(f"{name}: {channels} channels mixed down to one")
        samples = samples.mean(1, keepdims=True)
    return torch.from_numpy(np.ascontiguousarray(samples.T))


def mono(name: str, waveform: Tensor) -> np.ndarray:
    """Check a waveform (samples,) or (1, samples) as `save` does; return its samples (samples,)."""
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
    """Convert samples in [-1, 1] to int16; samples beyond are clipped, with a WavWarning."""
    if (peak := float(np.abs(samples).max())) > 1:
        _warn(f"{name}: clipped, the loudest of its samples is {peak:.3g} and 1 is full scale")
    return np.rint(samples * 32768).clip(-32768, 32767).astype(np.int16)


def _warn(message: str) -> None:
    warnings.warn(message, WavWarning, stacklevel=3)
