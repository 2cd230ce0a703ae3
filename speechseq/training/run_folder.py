"""The folder of a run: whole checkpoints by update, links to the last and the best, one trainer."""

import fcntl
import os
import shutil
from pathlib import Path
from typing import IO

from speechseq.checkpoint.folder import CONFIG, numbered
from speechseq.errors import ConfigError, MachineError

LAST, BEST = "last", "best"


class RunFolder:
    """RUN/checkpoints and what lies in it.

    Raises:
        MachineError: the folder cannot be made.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self._lock: IO[bytes] | None = None
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problem = f"{self.checkpoints}: cannot be made: {error.strerror}"
            raise MachineError(problem, "choose another run folder") from None

    def __enter__(self) -> "RunFolder":
        """Keep other trainers out, and clear what a killed one left half-written.

        Raises:
            ConfigError: another process trains here.
        """
        self._lock = open(self.path / ".lock", "wb")
        try:
            # a record lock is this process alone: workers that outlive a kill do not hold it
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            if isinstance(error, BlockingIOError | PermissionError):
                problem = f"{self.path}: another process is training here"
                raise ConfigError(problem, "wait for it, or choose another run folder") from None
            self._lock = None  # a file system without locks
        for left in self.checkpoints.glob(".*.tmp"):
            shutil.rmtree(left, ignore_errors=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()

    def newest(self) -> Path | None:
        """The checkpoint to go on from, or None in a new run."""
        if whole := numbered(self.checkpoints):
            return whole[-1]
        last = self.checkpoints / LAST  # copied without links, it may be all there is
        return last if os.path.exists(last / CONFIG) else None

    def folder(self, update: int) -> Path:
        """Where the checkpoint of an update lies."""
        return self.checkpoints / str(update)

    def holds(self, update: int) -> bool:
        """Whether there is a checkpoint of that update."""
        return os.path.exists(self.folder(update) / CONFIG)

    def point(self, name: str, update: int) -> None:
        """Make the link `name` lead to an update's checkpoint; at no moment is there no link."""
        link, fresh = self.checkpoints / name, self.checkpoints / f".{name}.link.tmp"
        if link.is_dir() and not link.is_symlink():
            shutil.rmtree(link)  # a copy without links: the numbered folder takes its place
        fresh.unlink(missing_ok=True)
        os.symlink(str(update), fresh)
        os.replace(fresh, link)

    def prune(self, keep: int) -> None:
        """Delete all checkpoints but the newest `keep` and those that links lead to."""
        linked = {os.path.realpath(self.checkpoints / name) for name in (LAST, BEST)}
        for folder in numbered(self.checkpoints)[:-keep]:
            if os.path.realpath(folder) not in linked:
                doomed = folder.with_name(f".{folder.name}.doomed.tmp")
                os.rename(folder, doomed)  # first the name, so that a kill leaves no half of it
                shutil.rmtree(doomed, ignore_errors=True)
