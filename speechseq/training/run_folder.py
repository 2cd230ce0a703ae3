"""Folder of a run: checkpoints by update, links to the last and the best, and a lock."""

import fcntl
import itertools
import os
import shutil
from pathlib import Path

from speechseq.checkpoint.folder import CONFIG, numbered
from speechseq.errors import ConfigError, MachineError
from speechseq.file_writing import TEMPORARY, cannot_write, open_to_append, remove, temporary_name

LAST, BEST = "last", "best"


class RunFolder:
    """Folder of a training run, with its checkpoints, locked against a second trainer.

    Use it in a `with` statement, which holds the lock. Checkpoints are folders
    RUN/checkpoints/<update>, and the links "last" and "best" point to two of them.

    Args:
        path: the folder; it is created if missing.

    Raises:
        MachineError: the folder cannot be created.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self._lock: int | None = None
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problem = f"{self.checkpoints}: cannot be made: {error.strerror}"
            raise MachineError(problem, "choose another run folder") from None

    def __enter__(self) -> "RunFolder":
        """Lock the folder against other trainers, and remove files that a killed one left behind.

        Raises:
            ConfigError: another process trains here, or the lock is a link, a folder or a pipe.
            MachineError: the lock cannot be written.
        """
        path = self.path / ".lock"
        try:
            self._lock = open_to_append(path)
            # a record lock belongs to this process alone: workers that survive a kill have none
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if self._lock is None:
                raise cannot_write(path, error) from None
            if isinstance(error, BlockingIOError | PermissionError):
                self.__exit__()
                problem = f"{self.path}: another process is training here"
                raise ConfigError(problem, "wait for it, or choose another run folder") from None
            # any other error: the file system has no locks
        for left in self.checkpoints.glob(f".*{TEMPORARY}"):
            remove(left)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def newest(self) -> Path | None:
        """Return the checkpoint of the last update, intact or damaged; None in a new run."""
        return next(iter(self.candidates()), None)

    def candidates(self) -> list[Path]:
        """Return the folders of checkpoints to resume from, newest first; some may be damaged."""
        named = [path for path in self.checkpoints.iterdir() if path.name.isdecimal()]
        found = sorted(named, key=lambda path: int(path.name), reverse=True)
        last = self.checkpoints / LAST
        if last.is_dir() and not last.is_symlink():  # copied without links: also a newest one
            found.insert(1, last)
        return found

    def set_aside(self, path: Path) -> Path:
        """Rename a damaged checkpoint, so that `candidates` leaves it out; return its new path.

        Raises:
            MachineError: the folder cannot be renamed.
        """
        names = (f"{path.name}.damaged{n}" for n in itertools.chain([""], itertools.count(2)))
        kept = next(k for k in map(path.with_name, names) if not os.path.lexists(k))
        try:
            os.rename(path, kept)
        except OSError as error:
            raise cannot_write(path, error) from None
        for link in (self.checkpoints / LAST, self.checkpoints / BEST):
            if link.is_symlink() and not link.exists():
                link.unlink()  # it pointed to the renamed folder
        return kept

    def folder(self, update: int) -> Path:
        """Return the path of the checkpoint of an update, RUN/checkpoints/<update>."""
        return self.checkpoints / str(update)

    def holds(self, update: int) -> bool:
        """Return True if there is a checkpoint of this update."""
        return os.path.exists(self.folder(update) / CONFIG)

    def point(self, name: str, update: int) -> None:
        """Make the link RUN/checkpoints/`name` point to the checkpoint of an update, atomically.

        `name` is "last" or "best".
        """
        link = self.checkpoints / name
        fresh = temporary_name(link)
        if link.is_dir() and not link.is_symlink():
            shutil.rmtree(link)  # a copy without links: replaced by a link to the numbered folder
        os.symlink(str(update), fresh)
        os.replace(fresh, link)

    def prune(self, keep: int) -> None:
        """Delete all checkpoints except the newest `keep`, and those called last and best."""
        linked = {os.path.realpath(self.checkpoints / name) for name in (LAST, BEST)}
        for folder in numbered(self.checkpoints)[:-keep]:
            if os.path.realpath(folder) not in linked:
                doomed = temporary_name(folder)
                os.rename(folder, doomed)  # first, so that a kill leaves no half-deleted checkpoint
                remove(doomed)
