"""What a sound file is and whether it is whole, from its own bytes, before a decoder sees it.

libsndfile says nothing when the data are shorter than the header claims.
"""

import os
import stat
import struct
from typing import BinaryIO

from speechseq.audio import sphere
from speechseq.errors import DataError

_SLOWEST, _FASTEST = 1000, 1_000_000  # samples a second
_UNKNOWN = 0xFFFFFFFF  # the size that a writer leaves which could not go back to the header
_OGG_PAGE = 65307  # bytes of the longest page
_AGAIN = "copy, download or make it again"


def check_regular(name: str) -> None:
    """Raise DataError when `name` is no regular file; nothing is opened.

    Opening a FIFO waits for a writer, maybe for ever.
    """
    try:
        mode = os.stat(name).st_mode
    except FileNotFoundError:
        if os.path.islink(name):
            where = os.readlink(name)
            raise DataError(
                f"{name}: is a link to {where}, which does not exist", "mend or remove the link"
            ) from None
        raise DataError(f"{name}: no such file", "check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{name}: cannot be read: {reason}", "check the path") from error
    if stat.S_ISDIR(mode):
        raise DataError(f"{name}: is a directory, not a sound file", "name a file inside it")
    if not stat.S_ISREG(mode):
        what = "a FIFO" if stat.S_ISFIFO(mode) else "a device or socket"
        raise DataError(f"{name}: is {what}, not a regular file", "write the sound to a file first")


def check_content(name: str, file: BinaryIO) -> None:
    """Raise DataError when the open file is not a whole WAV, FLAC, OGG or SPHERE file.

    FLAC's completeness is left to its decoder, which checks it.
    """
    head = file.read(16)
    size = os.fstat(file.fileno()).st_size
    if not head:
        raise DataError(f"{name}: is empty (0 bytes)", "remove it or make it again")
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        _check_riff(name, file, size)
    elif head[:4] == b"OggS":
        _check_ogg(name, file, size)
    elif head.startswith(sphere.MAGIC):
        check_rate(name, sphere.check(name, file, size))
    elif head[:4] != b"fLaC":
        raise DataError(
            f"{name}: {_what(head)}, not a WAV, FLAC, OGG or SPHERE file",
            "convert it to WAV (for example: ffmpeg -i IN OUT.wav) or leave it out",
        )


def check_rate(name: str, rate: int) -> None:
    """Raise DataError for a number of samples a second that no recorder makes."""
    if not _SLOWEST <= rate <= _FASTEST:
        raise DataError(f"{name}: the header claims {rate} samples a second", _AGAIN)


def _what(head: bytes) -> str:
    """What the first bytes of a file that is not ours say it is."""
    if head[:4] in (b"RIFF", b"RIFX"):
        return "is a RIFF file with a cut or foreign header"
    if head[:3] == b"ID3" or (head[0] == 0xFF and len(head) > 1 and head[1] & 0xE6 == 0xE2):
        return "holds MP3 data"
    if head[4:8] == b"ftyp":
        return "holds MP4 data"
    if head[:4] == b"FORM":
        return "holds AIFF data"
    if all(byte in b"\t\n\r" or byte >= 32 for byte in head):
        return f"holds text ({head.decode(errors='replace')!r}…)"
    return f"holds unknown data (it begins with {head[:4].hex(' ')})"


def _check_riff(name: str, file: BinaryIO, size: int) -> None:
    """Walk the chunks up to the data."""
    place, seen_format, wide = 12, False, _UNKNOWN
    while place + 8 <= size:
        file.seek(place)
        kind, length = struct.unpack("<4sI", file.read(8))
        there = size - place - 8
        if kind == b"ds64" and there >= 16:  # RF64 keeps sizes beyond 4 GB here
            wide = struct.unpack("<QQ", file.read(16))[1]
        if kind == b"fmt " and there >= 8:
            seen_format = True
            check_rate(name, struct.unpack("<HHI", file.read(8))[2])
        if kind == b"data":
            if not seen_format:
                raise DataError(f"{name}: the header does not say its format", _AGAIN)
            _check_data(name, wide if length == _UNKNOWN else length, there)
            return
        place += 8 + length + length % 2
    raise DataError(f"{name}: the header is cut: no sound data in its {size} bytes", _AGAIN)


def _check_data(name: str, length: int, there: int) -> None:
    if length == 0:
        raise DataError(f"{name}: has 0 samples", "remove it or make it again")
    if length > there and length != _UNKNOWN:
        raise DataError(
            f"{name}: cut: the header claims {length} bytes of sound, {there} are there", _AGAIN
        )


def _check_ogg(name: str, file: BinaryIO, size: int) -> None:
    """The last page has to say that it is the last, and to be there whole."""
    file.seek(max(0, size - _OGG_PAGE))
    tail = file.read(_OGG_PAGE)
    page = tail[max(0, tail.rfind(b"OggS")) :]
    segments = page[27 : 27 + page[26]] if len(page) > 26 else b""
    whole = bool(segments) and len(page) >= 27 + page[26] + sum(segments)
    if not whole or not page[5] & 4:
        raise DataError(f"{name}: cut: its last page is not the end of the sound", _AGAIN)
