"""Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 as a request to stop between two updates."""

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
    """A context in which the first signal is noted in `.signal`; a second Ctrl-C or SIGTERM acts.

    Signals that are ignored at the start, as under `nohup`, stay so. Further SIGHUPs and SIGUSR1s
    change nothing: a closing terminal sends several. Outside the main thread, where signals cannot
    be caught, it does nothing.
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
            return  # a data loader's worker, forked with these handlers; its parent will end it
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
            # None: installed by other means than Python's, and not ours to put back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}


_SECOND = "a second Ctrl-C or SIGTERM ends at once and loses what came since the last checkpoint"
_LOST = "ended at once; what came since the last checkpoint is lost"


def _name(number: int) -> str:
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def _say(text: str) -> None:
    # not print: the signal may have come in the middle of one
    with contextlib.suppress(OSError):
        os.write(2, f"\n{text}\n".encode())


class Interrupted(SystemExit):
    """The run was asked to stop, and saved a checkpoint: 130 after Ctrl-C, 143 after SIGTERM.

    129 after SIGHUP, 138 after SIGUSR1: 128 and the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
