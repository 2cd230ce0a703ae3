"""The lines of a text file that may be large, plain or gzipped, with their numbers."""

import os
from collections.abc import Iterator

from speechseq import files

TEXT = files.Kind(
    name="a text file",
    limit=64 << 30,  # read line by line: the text of LibriSpeech's language model is 4 GB
    cure="name a text file (UTF-8, plain or gzipped)",
    streams=True,
    gzipped=True,
)


def numbered(path: str | os.PathLike[str]) -> Iterator[tuple[int, bytes]]:
    """Number, from 1, and bytes of every line, without its end.

    Raises:
        DataError: the file is missing, unreadable, empty, no text, or a damaged gzip file.
    """
    return files.lines(path, TEXT)


def decoded(path: str | os.PathLike[str], number: int, line: bytes) -> str:
    """A line as text.

    Raises:
        DataError: it is no UTF-8; file and line are named.
    """
    return files.decoded(path, TEXT, number, line)
