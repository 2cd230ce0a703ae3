"""Safe reads of files named by users: regular files within a size limit, or a clear error.

Opening a FIFO waits for a writer, reading a device may never end, and the size that a file system
gives is not reliable. All readers of the package open files here; callers choose the error class.
"""

import dataclasses
import gzip
import hashlib
import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from typing import BinaryIO, cast

from speechseq.errors import DataError, SpeechseqError

PathLike = str | os.PathLike[str]
_GZIP = b"\x1f\x8b"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BOM = b"\xef\xbb\xbf"
_HANDED = re.compile(r"/dev/fd/([0-9]+)|/proc/self/fd/([0-9]+)|/dev/stdin|-")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """Limits and messages for reading one kind of file, such as a language model.

    The functions of this module, such as `read_bytes`, take it as their argument `kind`.

    Args:
        name: name of the kind in messages, with an article: "a language model".
        limit: maximum number of bytes to read, after decompression.
        error: class of all errors about such files.
        cure: advice in the error if the file does not exist or is not a regular file.
        longest_line: maximum number of bytes of a line.
        streams: accept "-", /dev/stdin and /dev/fd/N (`<(command)` of a shell) as well.
        gzipped: let `lines` decompress gzip files.
    """

    name: str
    limit: int
    error: type[SpeechseqError] = DataError
    cure: str = "check the path"
    longest_line: int = 1 << 20
    streams: bool = False
    gzipped: bool = False


def check_regular(path: PathLike, kind: Kind) -> None:
    """Check that a path is a regular file, without opening it.

    Args:
        path: the file.
        kind: texts of messages and class of errors for such files.

    Raises:
        kind.error: the path does not exist or is something else.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if os.path.islink(path):
            problem = f"{path}: is a link to {os.readlink(path)}, which does not exist"
            raise kind.error(problem, "mend or remove the link") from None
        raise kind.error(f"{path}: no such file", kind.cure) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte or a lone surrogate
        raise _unreadable(path, kind, error) from None
    _refuse_special(path, kind, mode)


@contextmanager
def opened(path: PathLike, kind: Kind) -> Iterator[BufferedReader]:
    """Context manager: opens a file for reading; one above the limit `kind.limit` is refused.

    Args:
        path: the file.
        kind: limit, texts of messages and class of errors for such files.

    Raises:
        kind.error: the file is missing, not regular, too large or unreadable; also for errors while
            it is read.
    """
    handle = _handle(path, kind)
    try:
        with os.fdopen(handle, "rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > kind.limit:
                raise _too_large(path, kind, f"{size:,}")
            yield file
    except gzip.BadGzipFile:  # a subclass of OSError that `lines` handles
        raise
    except OSError as error:
        raise _unreadable(path, kind, error) from None


def read_bytes(path: PathLike, kind: Kind) -> bytes:
    """Read all bytes of a file; one above the limit `kind.limit` is refused.

    Args:
        path: the file.
        kind: limit, texts of messages and class of errors for such files.

    Raises:
        kind.error: see `opened`.
    """
    with opened(path, kind) as file:
        data = file.read(kind.limit + 1)
    if len(data) > kind.limit:
        raise _too_large(path, kind, f"more than {kind.limit:,}")
    return data


def sha256(path: PathLike, kind: Kind) -> str:
    """SHA-256 of a file in hexadecimal digits; a file above the limit `kind.limit` is refused.

    Args:
        path: the file.
        kind: limit, texts of messages and class of errors for such files.

    Raises:
        kind.error: see `opened`.
    """
    with opened(path, kind) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: PathLike, kind: Kind) -> str:
    r"""Read a UTF-8 file as a string; a byte order mark at its start is removed.

    Line ends "\r\n" become "\n", and the last line also ends with "\n".

    Args:
        path: the file.
        kind: maximum size, texts of the messages, and class of the errors.

    Raises:
        kind.error: the file is missing, not regular, too large, unreadable, not UTF-8, or has NUL
            bytes or a line longer than `kind.longest_line`.
    """
    return "".join(f"{decoded(path, kind, i, line)}\n" for i, line in lines(path, kind))


def lines(path: PathLike, kind: Kind) -> Iterator[tuple[int, bytes]]:
    """Iterate over the lines of a file: line number, from 1, and bytes without line end.

    Memory holds no more than one line. A UTF-8 byte order mark at the start of the file is removed.

    Args:
        path: the file.
        kind: maximum sizes, texts of the messages, and class of the errors.

    Raises:
        kind.error: see `opened`; also, the file is UTF-16 or a damaged gzip file, or a line has NUL
            bytes or is too long. Lines before the error have been yielded.
    """
    number = 0
    try:
        with opened(path, kind) as plain:
            zipped = kind.gzipped and plain.peek(2)[:2] == _GZIP
            file = cast(BinaryIO, gzip.GzipFile(fileobj=plain)) if zipped else plain
            left = kind.limit
            while line := file.readline(min(kind.longest_line, left) + 1):
                number += 1
                left -= len(line)
                _check_line(path, kind, number, line, left)
                yield number, line.rstrip(b"\r\n").removeprefix(_BOM if number == 1 else b"")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        problem = f"{path}:{number + 1}: the gzip file is damaged: {error}"
        raise kind.error(problem, "copy the file again") from None


def decoded(path: PathLike, kind: Kind, number: int, line: bytes) -> str:
    """Decode one line of a file from UTF-8; an error names the file and the line.

    Args:
        path: the file, for the error.
        kind: class of errors for such files.
        number: number of the line, from 1, for the error.
        line: the line's bytes.

    Raises:
        kind.error: the line is not UTF-8.
    """
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = f"{path}:{number}: not UTF-8 text: byte {error.start + 1} of the line"
        raise kind.error(problem, "convert the file, for example with iconv -t utf-8") from None


def _handle(path: PathLike, kind: Kind) -> int:
    """Open a descriptor of a regular file, or of a stream passed by the shell."""
    handed = _HANDED.fullmatch(os.fspath(path)) if kind.streams else None
    try:
        if handed:
            return os.dup(int(handed[1] or handed[2] or 0))
        check_regular(path, kind)
        # the path may have become a FIFO since the check: opening must not block
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError, OverflowError) as error:
        raise _unreadable(path, kind, error) from None
    try:
        _refuse_special(path, kind, os.fstat(handle).st_mode)
    except SpeechseqError:
        os.close(handle)
        raise
    return handle


def _refuse_special(path: PathLike, kind: Kind, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise kind.error(f"{path}: is a directory, not {kind.name}", "name a file inside it")
    if not stat.S_ISREG(mode):
        found = "a FIFO" if stat.S_ISFIFO(mode) else "a device or socket"
        problem = f"{path}: is {found}, not a regular file"
        raise kind.error(problem, "write its content to a file first")


def _check_line(path: PathLike, kind: Kind, number: int, line: bytes, left: int) -> None:
    if left < 0:
        raise _too_large(path, kind, f"more than {kind.limit:,}")
    if number == 1 and line[:2] in _UTF16:
        raise kind.error(f"{path}: the text is UTF-16", "save it as UTF-8")
    if b"\0" in line:
        raise kind.error(f"{path}:{number}: holds NUL bytes, so it is no text", kind.cure)
    if len(line) > kind.longest_line:
        problem = f"{path}:{number}: the line is longer than {kind.longest_line:,} bytes"
        raise kind.error(problem, kind.cure)


def _too_large(path: PathLike, kind: Kind, size: str) -> SpeechseqError:
    problem = f"{path}: {size} bytes, expected at most {kind.limit:,} of {kind.name}"
    return kind.error(problem, kind.cure)


def _unreadable(path: PathLike, kind: Kind, error: Exception) -> SpeechseqError:
    reason = getattr(error, "strerror", None) or error
    return kind.error(f"{path}: cannot be read: {reason}", kind.cure)
