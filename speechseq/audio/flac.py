"""Number of samples in a FLAC file, from its header and its last frame (RFC 9639).

The header's count may be 0 or all ones (from a streaming writer), and cannot show that a file was
truncated. The last frame holds its own position and is protected by two checksums.
"""

import functools
import struct
from typing import BinaryIO, NamedTuple

from speechseq.audio.rates import AGAIN
from speechseq.errors import DataError

HEADER = 42  # bytes: the magic and the block STREAMINFO
_UNKNOWN = (0, (1 << 36) - 1)
_LONGEST = 1 << 20  # bytes searched for the last frame; with a longer one, the file is decoded
_SIZES = {1: 192, **{n: 576 << (n - 2) for n in range(2, 6)}, **{n: 1 << n for n in range(8, 16)}}


class Info(NamedTuple):
    """STREAMINFO, the header of a FLAC file.

    Attributes:
        blocks: smallest and largest number of samples of a block.
        samples: total number of samples, or None if the header does not state it.
    """

    blocks: tuple[int, int]
    samples: int | None


def samples(name: str, file: BinaryIO, begin: int, end: int) -> int | None:
    """Number of samples per channel of a FLAC file, if its header and its last frame agree on it.

    A header without a number agrees with every last frame.

    Args:
        name: name of the file in error messages.
        file: open file, whose position changes.
        begin: first byte of the sound in the file, its header included.
        end: byte after the last of the sound.

    Returns:
        The number, or None if both differ or the last frame cannot be read; then only decoding can
        tell.

    Raises:
        DataError: the header is incomplete, or neither header nor last frame gives a number.
    """
    file.seek(begin)
    head = file.read(HEADER)
    if len(head) < HEADER or head[4] & 0x7F:
        raise DataError(f"{name}: the FLAC header is cut or damaged", AGAIN)
    info = _info(head[8:])
    found = _last_sample(file, begin + HEADER, end, info)
    if found is None and info.samples is None:
        raise DataError(
            f"{name}: cut or damaged: neither its FLAC header nor its last frame tells its length",
            "write it again, for example: ffmpeg -i IN.flac OUT.flac",
        )
    return found if info.samples in (None, found) else None


def header(file: BinaryIO, begin: int, samples: int) -> bytes:
    """Return the header of a FLAC file, changed to state `samples` samples per channel.

    A decoder needs the number, which a streamed file lacks.

    Args:
        file: open file, whose position changes.
        begin: position of the header in bytes.
        samples: number of samples to state.
    """
    file.seek(begin)
    head = file.read(HEADER)
    packed = int.from_bytes(head[18:26], "big") >> 36 << 36 | samples
    return head[:18] + packed.to_bytes(8, "big") + head[26:]


def promised(file: BinaryIO, begin: int) -> int | None:
    """Number of samples per channel that a FLAC header states, or None if it states none.

    Args:
        file: open file, whose position changes.
        begin: position of the header in the file, in bytes.
    """
    file.seek(begin)
    return _info(file.read(HEADER)[8:]).samples


def _info(block: bytes) -> Info:
    smallest, largest = struct.unpack(">HH", block[:4])
    total = int.from_bytes(block[10:18], "big") & ((1 << 36) - 1)
    return Info((smallest, largest), None if total in _UNKNOWN else total)


def _last_sample(file: BinaryIO, begin: int, end: int, info: Info) -> int | None:
    """Index of the sample after the last frame, if that frame is complete and ends at `end`."""
    begin = max(begin, end - _LONGEST)
    file.seek(begin)
    data = file.read(end - begin)
    for sync in (b"\xff\xf8", b"\xff\xf9"):
        place = data.rfind(sync)
        for _ in range(16):  # inside the last frame, the sync code may occur at random
            if place < 0:
                break
            found = _frame_end(data[place : place + 16], info)
            if found is not None and _crc(data[place:], 16, 0x8005) == 0:
                return found
            place = data.rfind(sync, 0, place)
    return None


def _frame_end(head: bytes, info: Info) -> int | None:
    """Index of the sample after a frame with this header; None if the header is invalid."""
    if len(head) < 6 or head[3] & 1:
        return None
    # coded like UTF-8: the leading ones of the first byte give the number of bytes
    ones = 8 - (head[4] ^ 0xFF).bit_length()
    if ones == 1 or ones == 8:
        return None
    count = max(1, ones)
    number = head[4] & (0x7F >> ones)
    for byte in head[5 : 4 + count]:
        number = number << 6 | byte & 0x3F
    place, size_code, rate_code = 4 + count, head[2] >> 4, head[2] & 15
    size = _SIZES.get(size_code, 0)
    if size_code in (6, 7):
        size = int.from_bytes(head[place : place + size_code - 5], "big") + 1
        place += size_code - 5
    place += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if not size or len(head) <= place or _crc(head[: place + 1], 8, 0x07) != 0:
        return None
    variable = head[1] & 1
    return (number if variable else number * info.blocks[0]) + size


@functools.cache
def _table(bits: int, polynomial: int) -> list[int]:
    """CRC lookup table: the remainder of each byte."""
    values, mask = [], (1 << bits) - 1
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value >> (bits - 1) else 0)) & mask
        values.append(value)
    return values


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    """CRC of the data; 0 if the data end in their own CRC."""
    table, value, mask = _table(bits, polynomial), 0, (1 << bits) - 1
    for byte in data:
        value = (value << 8 & mask) ^ table[value >> (bits - 8) ^ byte]
    return value
