"""Metadata tags around the sound: ID3v2 before it, ID3v1, APE and ID3v2 after it."""

import struct
from typing import BinaryIO


def begin_of_sound(file: BinaryIO) -> int:
    """Return the byte position of the sound in a file, after the ID3v2 tags before it.

    Args:
        file: open file, whose position changes.
    """
    begin = 0
    while (head := _at(file, begin, 10))[:3] == b"ID3" and len(head) == 10:
        footer = 10 if head[5] & 0x10 else 0
        begin += 10 + _syncsafe(head[6:]) + footer
    return begin


def end_of_sound(file: BinaryIO, begin: int, size: int) -> int:
    """Return the byte position at which the sound of a file ends, before all tags at its end.

    Args:
        file: open file, whose position changes.
        begin: byte position at which the sound begins; no tag lies before it.
        size: size of the file in bytes.
    """
    end = size
    while length := _last_tag(file, end):
        if end - length < begin:
            break
        end -= length
    return end


def _last_tag(file: BinaryIO, end: int) -> int:
    """Length of the tag that ends at `end`; 0 if there is none."""
    if _at(file, end - 128, 3) == b"TAG":
        return 128
    if (foot := _at(file, end - 32, 32))[:8] == b"APETAGEX":
        length, _, flags = struct.unpack("<III", foot[12:24])
        return int(length) + (32 if flags & 1 << 31 else 0)
    if (foot := _at(file, end - 10, 10))[:3] == b"3DI":
        return _syncsafe(foot[6:]) + 20
    return 0


def _at(file: BinaryIO, place: int, count: int) -> bytes:
    if place < 0:
        return b""
    file.seek(place)
    return file.read(count)


def _syncsafe(data: bytes) -> int:
    """Decode a syncsafe integer: seven bits a byte, so that no byte looks like an MP3 sync code."""
    number = 0
    for byte in data:
        number = number << 7 | byte & 0x7F
    return number
