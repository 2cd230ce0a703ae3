"""File object over a part of another file, with a header in front."""

import io
import os
from typing import Any, BinaryIO


class Part(io.RawIOBase):
    """Read-only, seekable file made of new `header` bytes and of a byte range of another file.

    A decoder reads from it a sound without its tags, or with a corrected header.

    Args:
        file: file open for reading, whose position changes.
        begin: first byte of the range.
        end: byte after the last of the range.
        header: bytes that come before those of the range.
    """

    def __init__(self, file: BinaryIO, begin: int, end: int, header: bytes = b"") -> None:
        self._file, self._begin, self._header = file, begin, header
        self._size = len(header) + end - begin
        self._place = 0

    def readable(self) -> bool:
        """Return True: the file can be read."""
        return True

    def seekable(self) -> bool:
        """Return True: the position can be changed."""
        return True

    def tell(self) -> int:
        """Return the current position in bytes."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position in the file and return it, in bytes.

        Args:
            offset: distance in bytes from the origin.
            whence: origin: os.SEEK_SET (the start), os.SEEK_CUR (the position) or os.SEEK_END.
        """
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(0, origin + offset)
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Read bytes into a buffer and return their number, 0 at the end.

        Args:
            buffer: writable buffer, such as a bytearray, whose size bounds the number.
        """
        count = max(0, min(len(buffer), self._size - self._place))
        inside = self._place - len(self._header)
        if inside < 0:
            data = self._header[self._place : self._place + count]
        else:
            self._file.seek(self._begin + inside)
            data = self._file.read(count)
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)
