"""WAV files and their 64-bit forms (RF64, BW64, W64): position and length of the sound data.

A streaming writer cannot go back to its header: it leaves the length at 0 or at the largest
number possible. With such a placeholder, the sound lasts to the end of the file.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from speechseq.audio.rates import AGAIN, check_rate
from speechseq.errors import DataError

MAGICS = (b"RIFF", b"RF64", b"BW64")
W64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_W64_CHUNK = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_SIMPLE = (b"fmt ", b"fact", b"PEAK", b"data")  # libsndfile fails on some other chunks
_NEAR = 1 << 16  # a length this near to 2^31 or 2^32 is a placeholder, less a header
_BEYOND = 1 << 48  # bytes: no file is that long
_WIDE = 0xFFFFFFFF  # the chunk ds64 holds the size


class Data(NamedTuple):
    """Position and format of the sound data in a WAV file; result of `find`.

    Attributes:
        begin: first byte of the data.
        end: byte after the last of the data.
        format: content of the chunk "fmt ", which holds sample rate, channels and coding.
        plain: True if libsndfile can decode the file as it is; otherwise give it a `Part` with
            `header`.
    """

    begin: int
    end: int
    format: bytes
    plain: bool

    @property
    def header(self) -> bytes:
        """Header, as bytes; followed by the bytes from `begin` to `end`, it is a valid WAV file."""
        length = self.end - self.begin
        chunk = b"fmt " + struct.pack("<I", len(self.format)) + self.format
        chunk += b"\0" * (len(chunk) % 2)
        if length + len(chunk) + 12 < _WIDE - _NEAR:
            whole = struct.pack("<I", 4 + len(chunk) + 8 + length)
            return b"RIFF" + whole + b"WAVE" + chunk + b"data" + struct.pack("<I", length)
        wide = b"ds64" + struct.pack("<IQQQI", 28, length + len(chunk) + 60, length, 0, 0)
        unknown = struct.pack("<I", _WIDE)
        return b"RF64" + unknown + b"WAVE" + wide + chunk + b"data" + unknown


class _Chunk(NamedTuple):
    kind: bytes
    begin: int
    length: int
    regular: bool  # begins where the previous chunk's length says


def find(name: str, file: BinaryIO, begin: int, end: int, size: int) -> Data:
    """Locate the sound data in a WAV file.

    Args:
        name: name of the file in error messages.
        file: open file, whose position changes.
        begin: position of the header in bytes.
        end: position in bytes at which the sound ends if the header does not state its length, as
            in a stream; tags at the end of the file come after it.
        size: size of the file in bytes.

    Raises:
        DataError: no format or data, an implausible sample rate, no samples, or fewer bytes than
            the header claims (a truncated file).
    """
    file.seek(begin)
    wide = file.read(4) != b"RIFF"
    form, promise, regular = b"", 0, begin == 0 and not wide
    for chunk in _chunks(file, begin, size):
        regular &= chunk.regular and chunk.kind in _SIMPLE
        file.seek(chunk.begin)
        if chunk.kind == b"ds64":
            promise = struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))[1]
        elif chunk.kind == b"fmt ":
            form = file.read(min(chunk.length, 256))
            if len(form) < 16:
                raise DataError(f"{name}: the header is cut: its format ends too soon", AGAIN)
            check_rate(name, struct.unpack("<HHI", form[:8])[2])
        elif chunk.kind == b"data":
            if not form:
                raise DataError(f"{name}: the header does not say its format", AGAIN)
            length = promise if wide and chunk.length == _WIDE else chunk.length
            streamed = _is_no_promise(length)
            if length == 0 and _is_whole(file, chunk.begin, size):
                raise DataError(f"{name}: has 0 samples", "remove it or make it again")
            stop = _end(name, chunk.begin, length, end if streamed else size, streamed, form)
            return Data(chunk.begin, stop, form, regular and not streamed and size - stop < 2)
    raise DataError(f"{name}: the header is cut: no sound data in its {size} bytes", AGAIN)


def _is_no_promise(length: int) -> bool:
    """Return True if the length is a placeholder of a writer that did not know the size."""
    near = abs(length - (1 << 31)) <= _NEAR or 0 <= _WIDE - length <= _NEAR
    return length <= 0 or near or length >= _BEYOND


def _end(name: str, begin: int, length: int, end: int, streamed: bool, form: bytes) -> int:
    there = max(0, end - begin)
    if streamed:
        length = there
    elif length > there:
        raise DataError(
            f"{name}: cut: the header claims {length} bytes of sound, {there} are there", AGAIN
        )
    block = max(1, struct.unpack("<H", form[12:14])[0])
    if length < block:
        raise DataError(f"{name}: has 0 samples", "remove it or make it again")
    return begin + length // block * block if streamed else begin + length


def _chunks(file: BinaryIO, begin: int, size: int) -> Iterator[_Chunk]:
    """Iterate over the chunks, up to the first that reaches past the end."""
    file.seek(begin)
    if file.read(4) == b"riff":
        place = begin + 40
        while place + 24 <= size:
            file.seek(place)
            kind, tail, length = struct.unpack("<4s12sQ", file.read(24))
            yield _Chunk(kind if tail == _W64_CHUNK else b"", place + 24, length - 24, False)
            place += max(24, length + -length % 8)
        return
    place, regular = begin + 12, True
    while place + 8 <= size:
        file.seek(place)
        kind, length = struct.unpack("<4sI", file.read(8))
        yield _Chunk(kind, place + 8, length, regular)
        after = place + 8 + length
        # some writers omit the padding byte after an odd length
        forgotten = length % 2 == 1 and not _is_chunk(file, after + 1, size)
        regular = not (forgotten and _is_chunk(file, after, size))
        place = after + (length % 2 if regular else 0)


def _is_chunk(file: BinaryIO, place: int, size: int) -> bool:
    """Return True if a chunk begins at `place`: a printable name, with space for its length."""
    file.seek(place)
    kind = file.read(4)
    return place + 8 <= size and kind.isascii() and kind.decode().isprintable()


def _is_whole(file: BinaryIO, place: int, size: int) -> bool:
    """Return True if only complete chunks follow from `place` to the end."""
    while _is_chunk(file, place, size):
        file.seek(place + 4)
        length = struct.unpack("<I", file.read(4))[0]
        place += 8 + length + length % 2
    return place in (size, size + 1)
