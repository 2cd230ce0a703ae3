"""Append-only file that tolerates a disk that is full for some time."""

import contextlib
import os
import warnings
from pathlib import Path

from speechseq.file_writing import cannot_write, open_to_append


class AppendedFile:
    """File to which whole records are appended, such as a log, and which survives a full disk.

    A record that cannot be written is kept and written later; the first one gives a warning.
    Training goes on meanwhile, because a line of a log is worth less than an update. Call `write`
    for each record and `close` at the end.

    Args:
        path: the file; it is created if missing.

    Raises:
        ConfigError: the path is a link, a folder or a pipe.
        MachineError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting, self._warned = b"", False
        try:
            self._file = open_to_append(path)
        except OSError as error:
            raise cannot_write(path, error) from None

    def write(self, data: bytes) -> None:
        """Append a record, as bytes; warn about the first record that cannot be written."""
        self._waiting += data
        if (error := self._failure()) and not self._warned:
            self._warned = True
            problem = cannot_write(self.path, error, len(self._waiting)).problem
            warnings.warn(f"{problem}; it is tried again, training goes on", stacklevel=3)

    def close(self) -> None:
        """Write the pending records and close the file.

        Raises:
            MachineError: the records still cannot be written.
        """
        error = self._failure()
        os.close(self._file)
        if error:
            raise cannot_write(self.path, error, len(self._waiting))

    def _failure(self) -> OSError | None:
        """Write all pending records; on an error, truncate the file to whole records."""
        if not self._waiting:
            return None
        whole = os.fstat(self._file).st_size
        try:
            if (written := os.write(self._file, self._waiting)) < len(self._waiting):
                os.write(self._file, self._waiting[written:])  # raises why the write was short
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, whole)
            return error
        self._waiting = b""
        return None
