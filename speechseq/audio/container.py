"""Detects the format of a sound file and checks that it is complete, before decoding.

libsndfile does not report data that are shorter than the header claims.
"""

import os
from typing import BinaryIO, NamedTuple

from speechseq import files
from speechseq.audio import flac, riff, sphere
from speechseq.audio.part import Part
from speechseq.audio.rates import AGAIN, check_rate
from speechseq.audio.tags import begin_of_sound, end_of_sound
from speechseq.errors import DataError

SOUND = files.Kind(name="a sound file", limit=1 << 44)  # it is read in blocks
_OTHERS = {b"FORM": "AIFF", b".snd": "AU", b"caff": "CAF", b"wvpk": "WavPack", b"MAC ": "APE"}
_OGG_PAGE = 65307  # bytes of the longest page


class Checked(NamedTuple):
    """Result of `checked`: a sound file that is complete and ready to be decoded.

    Attributes:
        file: the file to give to the decoder. It is the opened file itself, or a `Part` of it
            without the tags before and after the sound.
        samples: number of samples per channel; None if only decoding can tell.
        promised: number of samples that a FLAC header states, which decoding has to confirm; None
            if there is no such statement.
    """

    file: BinaryIO | Part
    samples: int | None
    promised: int | None = None


def checked(name: str, file: BinaryIO) -> Checked:
    """Check that a WAV, FLAC, OGG or SPHERE file is complete, skipping metadata tags.

    The format is recognised by the content. Only headers and the end of the file are read.

    Args:
        name: name of the file in error messages.
        file: file open for reading, whose position changes.

    Returns:
        The file to decode, and its length as far as it is known without decoding.

    Raises:
        DataError: the file has another format, or is truncated or damaged.
    """
    size = os.fstat(file.fileno()).st_size
    if not size:
        raise DataError(f"{name}: is empty (0 bytes)", "remove it or make it again")
    begin = begin_of_sound(file)
    file.seek(begin)
    head = file.read(16)
    if not head:
        raise DataError(f"{name}: holds an ID3 tag and no sound after it", AGAIN)
    end = end_of_sound(file, begin, size)
    if (head[:4] in riff.MAGICS and head[8:12] == b"WAVE") or head == riff.W64:
        data = riff.find(name, file, begin, end, size)
        if data.plain:
            return Checked(file, None)
        return Checked(Part(file, data.begin, data.end, data.header), None)
    if head[:4] == b"fLaC":
        known, promised = flac.samples(name, file, begin, end), flac.promised(file, begin)
        if promised is None and known is not None:  # the decoder needs the count
            head = flac.header(file, begin, known)
            return Checked(Part(file, begin + flac.HEADER, end, head), known)
        return Checked(_part(file, begin, end, size), known, promised)
    if head[:4] == b"OggS":
        _check_ogg(name, file, size)
    elif head.startswith(sphere.MAGIC) and not begin:
        check_rate(name, sphere.check(name, file, size))
    else:
        raise DataError(
            f"{name}: {_what(head)}{' behind an ID3 tag' if begin else ''}, not a WAV, FLAC, OGG "
            "or SPHERE file",
            "convert it to WAV (for example: ffmpeg -i IN OUT.wav) or leave it out",
        )
    return Checked(_part(file, begin, size, size), None)


def _part(file: BinaryIO, begin: int, end: int, size: int) -> BinaryIO | Part:
    return Part(file, begin, end) if begin or end < size else file


def _what(head: bytes) -> str:
    """Describe an unsupported file by its first bytes."""
    if head[:4] in (b"RIFF", b"RIFX"):
        return "is a RIFF file with a cut or foreign header"
    if head[0] == 0xFF and len(head) > 1 and head[1] & 0xE6 == 0xE2:
        return "holds MP3 data"
    if head[4:8] == b"ftyp":
        return "holds MP4 data"
    for magic, form in _OTHERS.items():
        if head.startswith(magic):
            return f"holds {form} data"
    if all(byte in b"\t\n\r" or byte >= 32 for byte in head):
        return f"holds text ({head.decode(errors='replace')!r}…)"
    return f"holds unknown data (it begins with {head[:4].hex(' ')})"


def _check_ogg(name: str, file: BinaryIO, size: int) -> None:
    """Raise DataError unless the last page is complete and marked as the end of the stream."""
    file.seek(max(0, size - _OGG_PAGE))
    tail = file.read(_OGG_PAGE)
    page = tail[max(0, tail.rfind(b"OggS")) :]
    segments = page[27 : 27 + page[26]] if len(page) > 26 else b""
    whole = bool(segments) and len(page) >= 27 + page[26] + sum(segments)
    if not whole or not page[5] & 4:
        raise DataError(f"{name}: cut: its last page is not the end of the sound", AGAIN)
