"""Signal handling: Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 request a stop between two updates."""

import contextlib
import os
import signal
import threading
import time
from types import FrameType
from typing import Any

# a terminal that closes sends SIGHUP; Slurm may be asked to send SIGUSR1 before it preempts
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
_DOUBLE = 0.5  # seconds: `timeout` and process managers send SIGTERM to the process and its group


class StopRequest:
    """Context manager that catches signals such as Ctrl-C, so that a run can save before it ends.

    The first of Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 is stored in the attribute `signal`, which is
    None before. A second Ctrl-C or SIGTERM ends the process at once; further SIGHUPs and SIGUSR1s
    have no effect, since a closing terminal sends several. Signals that are ignored at the start,
    as under `nohup`, stay ignored. Outside of the main thread, where signals cannot be caught, it
    does nothing.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}
        self._process, self._since = os.getpid(), 0.0

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            numbers = (signal.SIGINT, *ENDING)
            handled = [n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN]
            self._before = {n: signal.signal(n, self._note) for n in handled}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a forked worker of a data loader inherits these handlers; its parent ends it
        if self.signal is None:
            self.signal, self._since = number, time.monotonic()
            _say(f"{_name(number)}: ends after this update, with a checkpoint; {_SECOND}")
        elif self._acts(number):
            _say(f"{_name(number)} again: {_LOST}")
            self._restore()
            os.kill(self._process, number)

    def _acts(self, number: int) -> bool:
        if number == signal.SIGTERM:
            return self.signal != number or time.monotonic() - self._since > _DOUBLE
        return number == signal.SIGINT

    def _restore(self) -> None:
        for number, handler in self._before.items():
            # None: the handler was not installed by Python and cannot be restored
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}


_SECOND = "a second Ctrl-C or SIGTERM ends at once and loses what came since the last checkpoint"
_LOST = "ended at once; what came since the last checkpoint is lost"


def _name(number: int) -> str:
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def _say(text: str) -> None:
    # not print: the signal may have interrupted a print
    with contextlib.suppress(OSError):
        os.write(2, f"\n{text}\n".encode())


class Interrupted(SystemExit):
    """Exit of a training run that was stopped by a signal, after its checkpoint was saved.

    The exit code is 128 plus the signal's `number`: 130 after Ctrl-C, 143 after SIGTERM, 129 after
    SIGHUP, 138 after SIGUSR1.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
