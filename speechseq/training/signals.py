"""Ctrl-C and SIGTERM as a wish to stop, heard between two updates."""

import signal
import threading
from types import FrameType
from typing import Any


class StopWish:
    """A context in which the first SIGINT or SIGTERM is noted in `.signal`; a second one acts.

    Outside the main thread, where signals cannot be caught, it does nothing.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopWish":
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._note) for s in self._SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            # None: installed by other means than Python's, and not ours to put back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}


class Interrupted(SystemExit):
    """The run was asked to stop, and saved a checkpoint: 130 after Ctrl-C, 143 after SIGTERM."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
