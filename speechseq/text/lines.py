"""Numbered lines of large text files, plain or gzipped."""

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
    """Iterate over the lines of a text file, plain or gzipped: line number, from 1, and bytes.

    The bytes have no line end.

    Raises:
        DataError: the file is missing, unreadable, empty, not text, or a damaged gzip file.
    """
    return files.lines(path, TEXT)


def decoded(path: str | os.PathLike[str], number: int, line: bytes) -> str:
    """Decode a line of a file as UTF-8.

    Args:
        path, number: file and line number, for the error.
        line: its bytes.

    Raises:
        DataError: the line is not UTF-8; the message names file and line.
    """
    return files.decoded(path, TEXT, number, line)
