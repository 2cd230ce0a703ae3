"""NIST SPHERE files (.sph): checks the text header against the size of the data.

libsndfile decodes such files, but does not compare their size with the header.
"""

import re
from typing import BinaryIO

from speechseq.errors import DataError

MAGIC = b"NIST_1A\n"
_WIDTHS = {"pcm": 2, "ulaw": 1, "mu-law": 1, "alaw": 1}  # bytes of one sample
_BLOCK = 1024  # headers consist of whole blocks
_LONGEST = 64 * _BLOCK
_EMPTY = re.compile(r"-s[0-9]+")  # the type of an empty or blank string
_AGAIN = "copy or unpack it again"


def check(name: str, file: BinaryIO, size: int) -> int:
    """Check that a NIST SPHERE file (.sph) is complete, and return its sample rate in Hz.

    Args:
        name: name of the file in error messages.
        file: open file, whose position changes.
        size: size of the file in bytes.

    Raises:
        DataError: the header is damaged, truncated or does not match the size of the data; the
            coding is not 16-bit PCM (either byte order), mu-law or A-law; the samples are
            compressed (shorten).
    """
    length, fields = _header(name, file)
    coding, *packing = fields.get("sample_coding", "pcm").split(",")
    if packing:
        raise DataError(
            f"{name}: its samples are compressed ({', '.join(packing)})",
            "unpack it first, for example: sph2pipe -f wav IN.sph OUT.wav",
        )
    if coding not in _WIDTHS:
        raise DataError(f"{name}: sample coding {coding!r}", "convert it to 16-bit WAV")
    count, rate, channels, width = (
        _number(name, fields, key)
        for key in ("sample_count", "sample_rate", "channel_count", "sample_n_bytes")
    )
    if width != _WIDTHS[coding]:
        raise DataError(f"{name}: {coding} samples of {width} bytes", "convert it to 16-bit WAV")
    if width == 2 and fields.get("sample_byte_format") not in ("01", "10"):
        raise DataError(f"{name}: the header does not say the order of bytes", _AGAIN)
    _check_size(name, count * channels * width, size - length)
    return rate


def _header(name: str, file: BinaryIO) -> tuple[int, dict[str, str]]:
    """Length of the header in bytes, and its fields."""
    file.seek(0)
    start = file.read(16)
    if not re.fullmatch(rb" *[0-9]+\s*", start[8:]):
        raise DataError(f"{name}: the SPHERE header does not say its length", _AGAIN)
    length = int(start[8:])
    if not 0 < length <= _LONGEST or length % _BLOCK:
        raise DataError(f"{name}: a SPHERE header of {length} bytes makes no sense", _AGAIN)
    body, end, _ = file.read(length - 16).decode("latin-1").partition("\nend_head")
    if not end:
        raise DataError(f"{name}: the SPHERE header is cut: it has no end_head", _AGAIN)
    fields = {}
    for line in body.splitlines():
        words = line.split(";")[0].split(maxsplit=2)
        if len(words) == 3:
            fields[words[0]] = words[2].strip()
        elif len(words) == 2 and _EMPTY.fullmatch(words[1]):
            fields[words[0]] = ""
        elif words:
            raise DataError(f"{name}: the SPHERE header holds the line {line!r}", _AGAIN)
    return length, fields


def _number(name: str, fields: dict[str, str], key: str) -> int:
    value = fields.get(key, "nothing")
    if not value.isascii() or not value.isdigit() or not int(value):
        raise DataError(f"{name}: the SPHERE header gives {value!r} as {key}", _AGAIN)
    return int(value)


def _check_size(name: str, promised: int, there: int) -> None:
    if there != promised:
        what = "cut" if there < promised else "damaged"
        raise DataError(
            f"{name}: {what}: the header claims {promised} bytes of sound, {there} are there",
            _AGAIN,
        )
