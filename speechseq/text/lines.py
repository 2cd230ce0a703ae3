"""The lines of a text file, plain or gzipped, with their numbers."""

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from speechseq.errors import DataError

_GZIP = b"\x1f\x8b"
_CURE = "copy the file again"


def numbered(path: str | os.PathLike[str]) -> Iterator[tuple[int, bytes]]:
    """Number, from 1, and bytes of every line, without its end.

    Raises:
        DataError: the file is missing, unreadable, or a damaged gzip file.
    """
    number = 0
    try:
        with open(path, "rb") as plain:
            zipped = plain.peek(2)[:2] == _GZIP
            with gzip.open(plain) if zipped else plain as file:
                for number, line in enumerate(file, start=1):
                    yield number, line.rstrip(b"\r\n")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        problem = f"{Path(path)}:{number + 1}: the gzip file is damaged: {error}"
        raise DataError(problem, _CURE) from None
    except OSError as error:
        raise DataError(f"{Path(path)}: cannot be read: {error.strerror}") from None


def decoded(path: str | os.PathLike[str], number: int, line: bytes) -> str:
    """A line as text.

    Raises:
        DataError: it is no UTF-8; file and line are named.
    """
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        problem = f"{Path(path)}:{number}: no UTF-8: byte {error.start + 1} of the line"
        raise DataError(problem, "convert the file, for example with iconv -t utf-8") from None
