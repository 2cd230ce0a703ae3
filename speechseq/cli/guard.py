"""Error handling of commands: an error that users can fix becomes a message and an exit code."""

import contextlib
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType

from speechseq.cli import streams
from speechseq.cli.machine_faults import machine_error
from speechseq.cli.recipe_faults import RecipeError
from speechseq.errors import SpeechseqError
from speechseq.printable import lines_of, message
from speechseq.training.signals import ENDING

_LONGEST = 500  # most characters of a traceback's line


def guarded(action: Callable[[], object]) -> int:
    """Call a function without arguments, print its errors, and return an exit code (see `main`).

    An error that users can fix is printed with its cure. Warnings are printed as single lines.
    Unexpected errors keep their traceback; SystemExit is not caught. It is no error if the reader
    of standard output closes the pipe, as in `| head -1`.
    """
    with streams.prepared(), _signals_unwind():
        try:
            action()
            sys.stdout.flush()
        except KeyboardInterrupt:
            return _say("interrupted", 130)
        except Exception as error:
            return _ended(error)
        finally:
            streams.flush_or_forget()
    return 0


def _ended(error: Exception) -> int:
    """Print the message of an error and return its exit code."""
    if isinstance(error, BrokenPipeError) and streams.reader_left():
        return 0
    known = error if isinstance(error, SpeechseqError) else machine_error(error)
    if isinstance(error, RecipeError):
        streams.say(lines_of(error.trace, _LONGEST))
    if known is not None:
        return _say(str(known), known.exit_code)
    streams.say(lines_of(traceback.format_exc().rstrip(), _LONGEST))
    return _say("this is a fault of speechseq: please report it with the lines above")


def _say(text: str, code: int = 1) -> int:
    streams.say(f"error: {message(text)}")
    return code


@contextlib.contextmanager
def _signals_unwind() -> Iterator[None]:
    """Turn terminating signals into SystemExit, so that temporary files are removed.

    Signals that are ignored, as under `nohup`, stay ignored.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, leave) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
