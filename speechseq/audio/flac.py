"""How many samples a FLAC file holds, from its header and its last frame (RFC 9639).

The header's number may be 0 or all ones (a writer that streamed), and it says nothing of a file
that was cut. The last frame says where it lies, and is protected by two checksums.
"""

import functools
import struct
from typing import BinaryIO, NamedTuple

from speechseq.audio.rates import AGAIN
from speechseq.errors import DataError

HEADER = 42  # bytes: the magic and the block STREAMINFO
_UNKNOWN = (0, (1 << 36) - 1)
_LONGEST = 1 << 20  # bytes of a last frame that is looked for; longer ones are decoded instead
_SIZES = {1: 192, **{n: 576 << (n - 2) for n in range(2, 6)}, **{n: 1 << n for n in range(8, 16)}}


class Info(NamedTuple):
    """What the header says: samples of a block (smallest, largest), samples in all or None."""

    blocks: tuple[int, int]
    samples: int | None


def samples(name: str, file: BinaryIO, begin: int, end: int) -> int | None:
    """The number of samples between these bytes, as header and last frame both tell it.

    None where they do not agree: only decoding tells then.

    Raises:
        DataError: there is no whole header, or neither of them tells.
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
    """The first HEADER bytes of a FLAC file, with this number of samples in them."""
    file.seek(begin)
    head = file.read(HEADER)
    packed = int.from_bytes(head[18:26], "big") >> 36 << 36 | samples
    return head[:18] + packed.to_bytes(8, "big") + head[26:]


def promised(file: BinaryIO, begin: int) -> int | None:
    """The number of samples that the header promises; None for no promise."""
    file.seek(begin)
    return _info(file.read(HEADER)[8:]).samples


def _info(block: bytes) -> Info:
    smallest, largest = struct.unpack(">HH", block[:4])
    total = int.from_bytes(block[10:18], "big") & ((1 << 36) - 1)
    return Info((smallest, largest), None if total in _UNKNOWN else total)


def _last_sample(file: BinaryIO, begin: int, end: int, info: Info) -> int | None:
    """The number of the sample after the last frame, if that frame is whole and ends there."""
    begin = max(begin, end - _LONGEST)
    file.seek(begin)
    data = file.read(end - begin)
    for sync in (b"\xff\xf8", b"\xff\xf9"):
        place = data.rfind(sync)
        for _ in range(16):  # within the last frame, the two bytes may come by chance
            if place < 0:
                break
            found = _frame_end(data[place : place + 16], info)
            if found is not None and _crc(data[place:], 16, 0x8005) == 0:
                return found
            place = data.rfind(sync, 0, place)
    return None


def _frame_end(head: bytes, info: Info) -> int | None:
    """The number of the sample after a frame with this header; None if it is no header."""
    if len(head) < 6 or head[3] & 1:
        return None
    # a number in as many bytes as the first one has leading ones, as UTF-8 writes them
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
    """The remainder of each byte."""
    values, mask = [], (1 << bits) - 1
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value >> (bits - 1) else 0)) & mask
        values.append(value)
    return values


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    """The remainder of a checksum; 0 over data that end in it."""
    table, value, mask = _table(bits, polynomial), 0, (1 << bits) - 1
    for byte in data:
        value = (value << 8 & mask) ^ table[value >> (bits - 8) ^ byte]
    return value
