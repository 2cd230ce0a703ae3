"""Cache of compiled libraries; only complete files written by this user are ever loaded.

Loading a library runs its code, so a file is accepted only if it and its folder belong to this
user, no one else may write to them, and its bytes match the checksum stored with it. A truncated or
damaged library would crash the process when loaded or called; the checksum prevents that.
"""

import functools
import hashlib
import os
import stat
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from speechseq.file_writing import sync


def kept(name: str, make: Callable[[Path], None], anew: bool = False) -> Path:
    """Return the path of a cached library that is safe to load; compile it if it is missing.

    The file is in the user's cache, or, if that cannot be written to, in a private folder among the
    temporary files.

    Args:
        name: name of the file.
        make: function that writes the file to the path that it is given.
        anew: replace an existing file.

    Raises:
        OSError: no folder can be written to.
    """
    failure = OSError("there is no folder of this user's own to keep libraries in")
    for folder in (*_user_cache(), *_temporary()):
        if problem := _problem(folder):
            failure = OSError(problem)
            continue
        if not anew and _whole(folder / name):
            return folder / name
        try:
            return _write(folder / name, make)
        except OSError as error:
            failure = error
    raise failure


def _user_cache() -> tuple[Path, ...]:
    """Folder in XDG_CACHE_HOME, if absolute, as its specification demands, else in ~/.cache."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    try:
        base = Path(named) if os.path.isabs(named) else Path.home() / ".cache"
    except RuntimeError:  # a user without a home
        return ()
    usable = os.path.isabs(named) or (base.is_absolute() and base.parent.is_dir())
    return (base / "speechseq" / "native",) if usable else ()


def _temporary() -> tuple[Path, ...]:
    return (Path(tempfile.gettempdir()) / f"speechseq-{os.geteuid()}" / "native",)


@functools.cache
def _problem(folder: Path) -> str:
    """Reason why a folder cannot be used, or ""; creates a missing folder, and warns once."""
    try:
        folder.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in (folder.parent, folder):
            part.mkdir(mode=0o700, exist_ok=True)
            if exposed := _exposed(part.stat()):
                raise PermissionError(f"{part} {exposed}")
            part.chmod(0o700)
    except OSError as error:
        warnings.warn(
            f"compiled kernels are not kept in {folder}: {error}. Mend that, or set "
            "XDG_CACHE_HOME to a folder of your own; SPEECHSEQ_NATIVE=0 silences this.",
            RuntimeWarning,
            stacklevel=2,
        )
        return str(error)
    return ""


def _exposed(status: os.stat_result) -> str:
    """Reason why others could have written to a file or folder, or ""."""
    if status.st_uid != os.geteuid():
        return "belongs to another user"
    return "is writable by others (chmod go-w)" if status.st_mode & 0o022 else ""


def _whole(path: Path) -> bool:
    """Return True if the file belongs to this user and matches its checksum."""
    try:
        content, checksum = _read(path), _read(_checksum_file(path))
    except OSError:
        return False
    return checksum.decode("ascii", "replace") == _checksum(path.name, content)


def _read(path: Path) -> bytes:
    """Read a regular file that only this user may write to.

    Raises:
        OSError: there is no such file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or _exposed(status):
            raise PermissionError(f"{path} is no file of this user's own")
        return file.read()


def _checksum_file(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _checksum(name: str, content: bytes) -> str:
    """Checksum of content and name, so that a library renamed to another is refused."""
    return hashlib.sha256(name.encode() + b"\0" + content).hexdigest()


def _write(path: Path, make: Callable[[Path], None]) -> Path:
    """Write a file and its checksum, each atomically, as another process may do the same.

    A process that finds the file of one process with the checksum of another writes both again.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        library = Path(folder) / path.name
        make(library)
        library.chmod(0o700)
        checksum = _checksum_file(library)
        checksum.write_text(_checksum(path.name, library.read_bytes()))
        checksum.chmod(0o600)
        for file in (library, checksum):
            sync(file)
            file.replace(path.parent / file.name)
        sync(path.parent)
    return path
