"""WAV data for a pipe: a header of unknown length, then samples as they come."""

import struct
from collections.abc import Callable
from typing import BinaryIO

from torch import Tensor

from speechseq.audio import wav

_UNKNOWN = 0xFFFFFFFF  # the length that ffmpeg writes to a pipe; readers go on to the end


def header(rate: int) -> bytes:
    """Return the header of a mono 16-bit WAV of unknown length: samples follow until the file ends.

    Args:
        rate: samples per second.
    """
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    length = struct.pack("<I", _UNKNOWN)
    return b"RIFF" + length + b"WAVEfmt " + form + b"data" + length


def writer(file: BinaryIO, rate: int) -> Callable[[Tensor], None]:
    """Return a function that writes waveforms to a file or pipe as a 16-bit mono WAV.

    Samples are written at once; the header comes with the first waveform, so that nothing is
    written if there is none. The length in the header is unknown and never corrected.

    Args:
        file: file open for writing, which need not be seekable.
        rate: samples per second.

    Returns:
        A function that appends a waveform (samples) in [-1, 1].

    Raises:
        DataError: a waveform has NaN or Inf, or no samples.
        OSError: the file cannot be written, such as a pipe that nobody reads any more.
    """
    begun = False

    def append(waveform: Tensor) -> None:
        nonlocal begun
        name = "the sound"
        samples = wav.to_int16(name, wav.mono(name, waveform)).astype("<i2").tobytes()
        file.write(samples if begun else header(rate) + samples)
        file.flush()
        begun = True

    return append
