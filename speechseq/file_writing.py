"""Safe writes: atomic, never through a link, with errors that report the free space.

Temporary files have random names and are created exclusively, so that existing files or links in
the folder are never opened or overwritten.
"""

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from speechseq.errors import ConfigError, MachineError

TEMPORARY = ".tmp"  # suffix of temporary files and folders
_FULL = {errno.ENOSPC: "make room on the disk", errno.EDQUOT: "make room within the quota"}


def temporary_name(target: Path) -> Path:
    """Return a path with a random name in the folder of `target`, for a temporary file.

    The name is short, because one that extends `target`'s name could be too long for the disk.
    """
    return target.with_name(f".{secrets.token_hex(6)}{TEMPORARY}")


def replace_file(
    path: str | os.PathLike[str], data: bytes | memoryview, *, durable: bool = False
) -> None:
    """Write a file atomically: readers see the old content or the new one, never a part.

    A link is replaced, not followed.

    Args:
        path: the file.
        data: its whole content.
        durable: wait until the bytes are on disk, so that a power failure leaves no empty file.

    Raises:
        MachineError: the file cannot be written; an existing file is unchanged.
    """
    with replacing(path, needed=len(data)) as file:
        _write_all(file, data)
        if durable:
            os.fsync(file)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, needed: int | None = None) -> Iterator[int]:
    """Context manager to write a large file atomically, part by part.

    It yields the descriptor of a temporary file, open for writing, which replaces `path` at the
    end. If the body raises anything, the temporary file is removed, and `path` is unchanged.

    Args:
        path: the file to replace; it need not exist.
        needed: number of bytes to write, if known; for the message about a full disk.

    Raises:
        MachineError: the file cannot be written; an existing file is unchanged.
    """
    target = Path(path)
    try:
        with _temporary_file(target) as (file, fresh):
            yield file
            os.replace(fresh, target)
    except OSError as error:
        raise cannot_write(target, error, needed) from error


def open_to_append(path: str | os.PathLike[str]) -> int:
    """Open a regular file for appending, creating it if missing; return its descriptor.

    Raises:
        ConfigError: the path is a link, a folder, a pipe or a device.
        OSError: the file cannot be opened.
    """
    check_target(Path(path))
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    # if a link or pipe appears meanwhile, do not follow it or wait for it
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def sync(path: Path) -> None:
    """Wait until a file, or the list of names of a folder, is on disk and survives a power failure.

    Raises:
        OSError: the disk reports an error.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Delete a file, a link or a folder with its contents; errors are ignored."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def check_target(path: Path) -> None:
    """Check that a path does not exist or is a regular file.

    Raises:
        ConfigError: the path is a link, a folder, a pipe or a device.
    """
    with contextlib.suppress(FileNotFoundError):
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            link = f" to {os.readlink(path)}" if stat.S_ISLNK(found.st_mode) else ""
            problem = f"{path}: is {_kind(found.st_mode)}{link}, and only a regular file is written"
            raise ConfigError(problem, "remove it, or name another folder")


def check_output(path: Path) -> None:
    """Check in advance that `replace_file` can write to a path.

    The path may be free, or that of a regular file or a link.

    Raises:
        ConfigError: the path is a folder, a pipe or a device, or its name is too long.
    """
    try:
        if not os.path.islink(path):
            check_target(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "name another file") from None


def check_folder(folder: Path) -> None:
    """Check that files can be created in a folder, or in its nearest existing parent.

    The check leaves no files behind.

    Raises:
        ConfigError: the path is not a folder, or its name is too long.
        MachineError: no file can be created there.
    """
    try:
        os.lstat(folder)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}", "name another folder") from None
    there = next(p for p in (folder, *folder.absolute().parents) if os.path.lexists(p))
    if not there.is_dir():
        raise ConfigError(f"{folder}: {there} is no folder", "name another folder")
    try:
        with _temporary_file(there / "any") as (file, _):
            _write_all(file, b"x")  # a full disk may still create empty files
    except OSError as error:
        raise cannot_write(folder, error, 1) from None


def cannot_write(path: Path, error: OSError, needed: int | None = None) -> MachineError:
    """Build the MachineError that explains why a file or folder cannot be written.

    Args:
        path: the file or folder.
        error: the operating system's error.
        needed: size of the file in bytes; the message compares it with the free bytes if the disk
            is full.
    """
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        need = "" if needed is None else f"{needed:,} bytes needed, "
        problem = f"{path}: cannot be written: {reason}: {need}{free_bytes(path):,} free"
        return MachineError(problem, f"{_FULL[error.errno]}, or write to another disk")
    if error.errno == errno.EFBIG:
        limit = "" if needed is None else f": {needed:,} bytes needed"
        cure = "raise the limit on the size of files (ulimit -f)"
        return MachineError(f"{path}: cannot be written: {reason}{limit}", cure)
    cure = "check the folder, its rights and space, or name another one"
    return MachineError(f"{path}: cannot be written: {reason}", cure)


def free_bytes(path: Path) -> int:
    """Number of free bytes for this user on the disk of a path, which need not exist."""
    for folder in (path, *path.absolute().parents):
        with contextlib.suppress(OSError):
            disk = os.statvfs(folder)
            return disk.f_bavail * disk.f_frsize
    return 0


@contextlib.contextmanager
def _temporary_file(target: Path) -> Iterator[tuple[int, Path]]:
    """Create a temporary file in the folder of `target`; removed at the end unless renamed."""
    if os.path.lexists(target) and not os.path.islink(target):
        check_target(target)
    fresh = temporary_name(target)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    file = os.open(fresh, flags, 0o666)
    try:
        yield file, fresh
    finally:
        os.close(file)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)


def _write_all(file: int, data: bytes | memoryview) -> None:
    left = memoryview(data).cast("B")
    while left:
        left = left[os.write(file, left) :]


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a link",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")
