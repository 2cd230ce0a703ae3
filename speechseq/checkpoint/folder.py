"""Checkpoint folders: found by path, read safely, and written completely or not at all."""

import difflib
import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from speechseq import files
from speechseq.errors import CheckpointError, ConfigError
from speechseq.file_writing import cannot_write, remove, sync, temporary_name

CONFIG, VOCABULARY, WEIGHTS = "config.json", "vocabulary.json", "model.safetensors"
STYLE_CARD = "style_card.json"  # written after training, so not among the described files
VOCODER = "vocoder.json"  # likewise
COPY_AGAIN = "copy the whole checkpoint folder again, or use an earlier checkpoint of the run"


def resolve(path: str | os.PathLike[str]) -> Path:
    """Find the checkpoint that a path means: a checkpoint's folder, a run, or RUN/checkpoints.

    For a run it is the last one.

    Raises:
        CheckpointError: there is no checkpoint; the message names the nearest ones.
    """
    given = Path(path)
    for candidate in (given, given / "last", given / "checkpoints" / "last"):
        if os.path.exists(candidate / CONFIG):
            return candidate
    if whole := [*numbered(given), *numbered(given / "checkpoints")]:
        return whole[-1]
    near = "; nearest: ".join(["give a checkpoint or run folder", *_nearest(given)][:2])
    raise CheckpointError(f"{given}: {_what_is_wrong(given)}", near)


def numbered(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder RUN/checkpoints, the earliest update first.

    They are the folders whose name is an update's number.
    """
    if not os.path.isdir(folder):
        return []
    whole = [p for p in folder.iterdir() if p.name.isdecimal() and os.path.exists(p / CONFIG)]
    return sorted(whole, key=lambda p: int(p.name))


def _what_is_wrong(given: Path) -> str:
    if os.path.islink(given) and not os.path.exists(given):
        return f"a dangling link to {os.readlink(given)}"
    if not os.path.exists(given):
        return "no such checkpoint"
    if not os.path.isdir(given):
        return "a file, not a checkpoint folder"
    return f"no checkpoint in it ({CONFIG} is missing)"


def _nearest(given: Path) -> list[str]:
    """Up to three checkpoint folders around the given path, most similar first."""
    around = (p for p in (given, *given.parents[:3]) if os.path.isdir(p))
    anchor = next(around, None)
    if anchor is None:
        return []
    folders = itertools.islice(_folders(anchor, depth=3), 2000)
    found = [str(folder) for folder in folders if os.path.exists(folder / CONFIG)]
    return [", ".join(difflib.get_close_matches(str(given), found, n=3, cutoff=0))] if found else []


def _folders(folder: Path, depth: int) -> Iterator[Path]:
    try:
        inside = [Path(e.path) for e in os.scandir(folder) if e.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for child in sorted(inside) if depth else []:
        yield child
        yield from _folders(child, depth - 1)


def read_bytes(path: Path, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes; a FIFO is refused, since reading it may block.

    Raises:
        CheckpointError: the file is missing, not regular or larger.
    """
    kind = files.Kind(name="this file", limit=limit, error=CheckpointError, cure=COPY_AGAIN)
    return files.read_bytes(path, kind)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder of files atomically: complete, or not at all.

    The files are written to a temporary folder, which is then renamed. An older checkpoint at
    `folder` is replaced.

    Args:
        folder: the folder.
        files: content of each file, by name.

    Raises:
        ConfigError: the folder exists and is not a checkpoint.
        MachineError: the disk is full or cannot be written; nothing is left behind.
    """
    staging = temporary_name(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir()
        for name, data in files.items():
            with open(staging / name, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        sync(staging)
        _swap(staging, folder)
        sync(folder.parent)
    except OSError as error:
        remove(staging)  # before free space is measured for the message
        raise cannot_write(folder, error, sum(map(len, files.values()))) from None
    finally:
        remove(staging)


def _swap(staging: Path, folder: Path) -> None:
    """Rename the staged folder to its final name, then remove an older checkpoint of that name."""
    if os.path.lexists(folder) and not os.path.exists(folder / CONFIG):
        raise ConfigError(f"{folder}: exists and is no checkpoint", "choose another folder")
    old = temporary_name(folder)
    if os.path.lexists(folder):
        os.rename(folder, old)
    os.rename(staging, folder)
    remove(old)
