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
    """Decode one line of a file from UTF-8; an error names the file and the line.

    Args:
        path: the file, for the error.
        number: number of the line, from 1, for the error.
        line: the line's bytes.

    Raises:
        DataError: the line is not UTF-8.
    """
    return files.decoded(path, TEXT, number, line)
