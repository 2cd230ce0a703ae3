"""Downloads of published archives: resumable, checked by SHA-256, and unpacked atomically."""

import http.client
import os
import shutil
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tqdm import tqdm

from speechseq import files
from speechseq.errors import DataError, MachineError
from speechseq.file_writing import cannot_write, check_folder, open_to_append

_BLOCK = 1 << 20
_ARCHIVE = files.Kind(name="an archive", limit=1 << 40)


def fetch(url: str, path: Path, *, sha256: str, size: int) -> Path:
    """Download a file; it appears at `path` only when it is complete and its checksum is right.

    Nothing is done if `path` exists. A partial download is kept in `path`.part, which the next call
    continues.

    Args:
        url: address of the file.
        path: where to save it; this path is returned.
        sha256: published SHA-256 in hexadecimal digits.
        size: published size in bytes.

    Raises:
        MachineError: there is no network, or the disk is full.
        DataError: the downloaded file is not the published one; the next call downloads it again.
    """
    if path.is_file() and _sha256(path) == sha256:
        return path
    _room(path.parent, size)
    part = path.with_name(path.name + ".part")
    try:
        _transfer(url, part, size)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as why:
        raise MachineError(
            f"{url}: cannot be fetched ({getattr(why, 'reason', why)})",
            f"run it again with a network (it resumes), or put the file at {path}",
        ) from None
    except OSError as error:
        raise cannot_write(part, error, size) from None
    if (found := _sha256(part)) != sha256:
        part.unlink()
        raise DataError(f"{url}: SHA-256 is {found}, published is {sha256}", "download it again")
    os.replace(part, path)
    return path


def unpack(archive: Path, folder: Path, *, size: int, inside: str = "") -> Path:
    """Unpack one folder of a tar archive, atomically; nothing is done if `folder` exists.

    Args:
        archive: the tar file, compressed or not.
        folder: the new folder, which is returned.
        size: unpacked size in bytes, which must be free on the disk.
        inside: path in the archive of the folder to unpack; "" for the name of `folder`.

    Raises:
        DataError: the archive is damaged, has paths outside its folder, or holds something else.
        MachineError: the disk is full.
    """
    if folder.is_dir():
        return folder
    _room(folder.parent, size)
    half = folder.with_name(folder.name + ".unpacking")
    shutil.rmtree(half, ignore_errors=True)
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(half, filter="data")
        os.replace(half / (inside or folder.name), folder)
    except (tarfile.TarError, EOFError, FileNotFoundError) as error:
        raise DataError(f"{archive}: cannot be unpacked ({error})", "download it again") from None
    except OSError as error:
        raise cannot_write(half, error, size) from None
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return folder


def _transfer(url: str, part: Path, size: int) -> None:
    have = part.stat().st_size if part.is_file() else 0
    if have >= size:
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        resumed = answer.status == http.client.PARTIAL_CONTENT
        if not resumed:
            part.unlink(missing_ok=True)
        with (
            os.fdopen(open_to_append(part), "ab") as file,
            tqdm(total=size, initial=have if resumed else 0, unit="B", unit_scale=True) as bar,
        ):
            _copy(answer, file, bar)
    if part.stat().st_size < size:
        raise ConnectionError("the connection broke off")


def _copy(answer: Any, file: Any, bar: Any) -> None:
    while block := answer.read(_BLOCK):
        file.write(block)
        bar.update(len(block))


def _sha256(path: Path) -> str:
    return files.sha256(path, _ARCHIVE)


def _room(folder: Path, size: int) -> None:
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < size:
        raise MachineError(
            f"{folder}: {size / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free",
            "name a folder on a larger disk",
        )
