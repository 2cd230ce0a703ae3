"""Standard streams of a command: never closed, never failing, and safe to print to."""

import contextlib
import logging
import os
import select
import sys
import warnings
from collections.abc import Iterator
from typing import TextIO

from speechseq.printable import message, safe_encoding


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """Context manager: makes the standard streams of this process safe to print to.

    Closed streams are replaced, unprintable characters are escaped, and warnings are printed as
    single lines. The previous state is restored at the end.
    """
    _open_closed_descriptors()
    before = sys.stdout, sys.stderr, logging.lastResort
    sys.stdout, sys.stderr = sys.stdout or _null(), sys.stderr or _null()
    errors = [(stream, stream.errors) for stream in (sys.stdout, sys.stderr)]
    logging.lastResort = _Warned(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show  # type: ignore[assignment]  # others: a location
            for stream, _ in errors:
                safe_encoding(stream)
            yield
    finally:
        for stream, handling in errors:
            safe_encoding(stream, handling)
        sys.stdout, sys.stderr, logging.lastResort = before


def say(text: str) -> None:
    """Print a line of text to standard error; it is no error if the stream is closed."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def flush_or_forget() -> None:
    """Flush standard output and error; replace a broken one, so that the process exits silently."""
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)
                stream.flush()


def reader_left() -> bool:
    """Return True if standard output is a pipe that nobody reads any more, as after `| head -1`."""
    poll = select.poll()
    poll.register(1, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


class _Warned(logging.Handler):
    """Log handler that prints records of libraries as warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"warning: {message(record.getMessage())}")


def _show(warning: Warning | str, category: type[Warning], *place: object) -> None:
    say(f"warning: {message(' '.join(str(warning).split()))}")


def _open_closed_descriptors() -> None:
    """Open closed descriptors 0 to 2 on the null device, so that no file gets printed output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


def _null() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")
