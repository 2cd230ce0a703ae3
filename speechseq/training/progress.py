"""What stands on the screen while a model trains: a bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Mapping

from tqdm import tqdm


class Progress:
    """Shows updates as they are made.

    Args:
        total: updates of the whole run.
        done: updates that were made before.
    """

    def __init__(self, total: int, done: int) -> None:
        self._terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total, initial=done, disable=not self._terminal, unit="update", dynamic_ncols=True
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def advance(self) -> None:
        """One more update is made."""
        self._bar.update()

    def losses(self, update: int, terms: Mapping[str, float], speed: float) -> None:
        """Show mean losses by name and the speed in frames a second."""
        parts = [f"{name} {value:.4f}" for name, value in terms.items()]
        if self._terminal:
            self._bar.set_postfix_str(f"{parts[0]}, {speed:,.0f} frames/s")
        else:
            self.say(f"update {update}: {', '.join(parts)} ({speed:,.0f} frames/s)")

    def say(self, line: str) -> None:
        """A line that stays."""
        if self._terminal:
            self._bar.write(line)
        else:
            print(line, flush=True)
