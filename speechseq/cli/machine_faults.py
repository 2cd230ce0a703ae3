"""Converts errors of the operating system and of libraries to errors that users can fix."""

import errno
import os
from pathlib import Path

from speechseq.errors import ConfigError, MachineError, SpeechseqError
from speechseq.file_writing import cannot_write

_MACHINE = {
    errno.EROFS: "name a folder that can be written",
    errno.EACCES: "change the rights, or name another place",
    errno.EPERM: "change the rights, or name another place",
    errno.EIO: "check the disk",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENOMEM: "free memory, or use smaller batches",
}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_USAGE = {errno.ENAMETOOLONG: "use a shorter name", errno.ELOOP: "remove the link to itself"}


def machine_error(error: Exception) -> SpeechseqError | None:
    """Convert an error of the operating system, such as a full disk, to one with a cure.

    Returns a MachineError, or a ConfigError for a bad path; None if neither the machine nor its
    usage caused the error.
    """
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        if error.errno in _FULL:
            return cannot_write(Path(os.fsdecode(error.filename or "output")), error)
        if error.errno in _MACHINE:
            return MachineError(f"{where}{error.strerror}", _MACHINE[error.errno])
        if error.errno in _USAGE:
            return ConfigError(f"{where}{error.strerror}", _USAGE[error.errno])
    # C libraries wrap system errors in their own classes and keep the system's message
    text = str(error)
    if os.strerror(errno.ENOSPC) in text:
        return MachineError(text, "make room on the disk")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return MachineError(f"out of memory {text}".strip(), _MACHINE[errno.ENOMEM])
    return None
