"""Sound files opened with libsndfile after checks of their headers; decoded in blocks."""

import contextlib
import os
from collections.abc import Iterator

import numpy as np
import soundfile

from speechseq import files
from speechseq.audio.container import SOUND, Checked, checked
from speechseq.audio.part import Part
from speechseq.audio.rates import check_rate
from speechseq.errors import DataError

BLOCK = 1 << 20  # numbers read at a time, so that no header decides how much is allocated
_AGAIN = "it is cut or damaged: copy it again, or convert it to 16-bit WAV"
_BY_BYTES = ("WAV", "WAVEX", "RF64", "NIST")  # formats whose size in bytes gives the samples
_PLAIN = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
_DENSEST = 1 << 14  # most samples per byte of an OGG file, in silence
_LOUDEST = 100.0  # a higher peak means the scale of 16-bit integers, not of [-1, 1]


@contextlib.contextmanager
def opened(name: str) -> Iterator[tuple[soundfile.SoundFile, int]]:
    """Open a sound file and check that it is complete, in a `with` block.

    Args:
        name: path of the file.

    Yields:
        libsndfile's decoder at the beginning of the sound, and the number of samples per channel.

    Raises:
        DataError: the file is missing, not regular, not sound, truncated, empty or damaged.
    """
    try:
        with files.opened(name, SOUND) as file:
            found = checked(name, file)
            with _decoder(found) as sound:
                check_rate(name, sound.samplerate)
                samples = _told(found, sound, os.fstat(file.fileno()).st_size)
                if samples is not None:
                    check_count(name, 0, samples)
                    yield sound, samples
                    return
                samples = sum(map(len, sound_blocks(sound, max(1, BLOCK // sound.channels))))
                check_count(name, found.promised or 0, samples)
            with _decoder(found) as sound:
                yield sound, samples
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
        raise DataError(f"{name}: cannot be decoded: {error}", _AGAIN) from None


def sound_blocks(sound: soundfile.SoundFile, size: int) -> Iterator[np.ndarray]:
    """Decode a sound in blocks, from its current position to its end.

    Args:
        sound: an open decoder.
        size: most samples per channel of a block.

    Yields:
        float32 samples (samples, channels).
    """
    while len(block := sound.read(size, dtype="float32", always_2d=True)):
        yield block


def check_count(name: str, claimed: int, samples: int) -> None:
    """Check that a file has as many samples as its header claims, and at least one.

    Args:
        name: name of the file, for the message.
        claimed: number of samples per channel that the header claims.
        samples: number of samples that are there.

    Raises:
        DataError: there are fewer, or none.
    """
    if samples < claimed:
        problem = f"{name}: cut: the header claims {claimed} samples, {samples} are there"
        raise DataError(problem, _AGAIN)
    if samples <= 0:
        raise DataError(f"{name}: has 0 samples", "remove it or make it again")


def check_samples(name: str, samples: np.ndarray, before: int = 0) -> np.ndarray:
    """Return samples unchanged after checking that they are finite and not on an integer scale.

    Args:
        name: name of the file, for messages.
        samples: (samples, channels).
        before: number of samples of the file before these, for messages.

    Raises:
        DataError: a sample is NaN or Inf, or beyond 100 times full scale.
    """
    finite = np.isfinite(samples).all(1)
    if not finite.all():
        count, first = int((~finite).sum()), before + int(finite.argmin())
        problem = f"{name}: {count} samples are NaN or Inf, the first is sample {first}"
        raise DataError(problem, "make it again, or cut that part out")
    if (peak := float(np.abs(samples).max())) > _LOUDEST:
        problem = f"{name}: float samples up to {peak:g}, where [-1, 1] is full scale"
        raise DataError(problem, "divide them by 32768 when they were 16-bit integers")
    return samples


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
