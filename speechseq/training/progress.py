"""Progress of a training run on the screen: a bar on a terminal, lines of text elsewhere."""

import contextlib
import sys
from collections.abc import Mapping

from tqdm import tqdm

from speechseq.printable import message, printable


class Progress:
    """Shows the progress of a training run: a bar on a terminal, lines of text elsewhere.

    Call `advance` after each update.

    Args:
        total: number of updates of the whole run.
        done: number of updates before a resume.
    """

    def __init__(self, total: int, done: int) -> None:
        self._terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total, initial=done, disable=not self._terminal, unit="update", dynamic_ncols=True
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        with _unread:
            self._bar.close()

    def advance(self) -> None:
        """Count one update, and move the bar."""
        with _unread:
            self._bar.update()

    def losses(self, update: int, terms: Mapping[str, float], speed: float) -> None:
        """Show the losses and the speed of the training at an update.

        Args:
            update: number of the update.
            terms: mean losses by name.
            speed: frames per second.
        """
        parts = [f"{name} {value:.4f}" for name, value in terms.items()]
        if self._terminal:
            with _unread:
                self._bar.set_postfix_str(printable(f"{parts[0]}, {speed:,.0f} frames/s"))
        else:
            self.say(f"update {update}: {', '.join(parts)} ({speed:,.0f} frames/s)")

    def say(self, line: str) -> None:
        """Print a line of text that is not overwritten by the bar."""
        with _unread:
            if self._terminal:
                self._bar.write(message(line))
            else:
                print(message(line), flush=True)


# a closed terminal or pipe must not end a training run
_unread = contextlib.suppress(OSError)
