"""How a command ends: errors people can mend become one message and an exit code."""

import contextlib
import errno
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from types import FrameType

from speechseq.errors import MachineError, SpeechseqError

_MACHINE = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room within the quota",
    errno.EROFS: "name a folder that can be written",
    errno.EACCES: "change the rights, or name another place",
    errno.EPERM: "change the rights, or name another place",
    errno.EIO: "check the disk",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENOMEM: "free memory, or use smaller batches",
}


def guarded(action: Callable[[], object]) -> int:
    """Run an action and give the exit code it comes to; SystemExit passes through.

    Warnings become single lines. An error that nobody foresaw keeps its traceback.
    """
    with _plain_warnings(), _sigterm_exits():
        try:
            action()
            sys.stdout.flush()
        except BrokenPipeError:
            _forget_stdout()
            return 1
        except KeyboardInterrupt:
            return _say("interrupted", 130)
        except Exception as error:
            known = error if isinstance(error, SpeechseqError) else _of_machine(error)
            if known is None:
                traceback.print_exc()
                return _say("this is a fault of speechseq: please report it with the lines above")
            return _say(str(known), known.exit_code)
    return 0


def _say(message: str, code: int = 1) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def _of_machine(error: Exception) -> MachineError | None:
    """The machine's fault in what was raised, e.g. a full disk, or None."""
    if isinstance(error, OSError) and error.errno in _MACHINE:
        where = f"{error.filename}: " if error.filename else ""
        return MachineError(f"{where}{error.strerror}", _MACHINE[error.errno])
    # libraries in C wrap the system's errors in classes of their own, with its words inside
    message = str(error)
    if os.strerror(errno.ENOSPC) in message:
        return MachineError(message, _MACHINE[errno.ENOSPC])
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return MachineError(f"out of memory {message}".strip(), _MACHINE[errno.ENOMEM])
    return None


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    def show(message: Warning | str, category: type[Warning], *place: object) -> None:
        print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]  # its other arguments are a place
        yield


@contextlib.contextmanager
def _sigterm_exits() -> Iterator[None]:
    """SIGTERM unwinds the stack, so that temporary files are removed."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _forget_stdout() -> None:
    """Whoever read our output has left; Python must not fail again when it flushes at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
