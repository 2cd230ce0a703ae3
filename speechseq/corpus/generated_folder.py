"""Folder of generated sounds, written atomically, and reused while it matches its plan."""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from speechseq import files
from speechseq.audio.container import SOUND
from speechseq.errors import DataError
from speechseq.file_writing import TEMPORARY, cannot_write

MANIFEST = "manifest.json"
_MANIFESTS = files.Kind(name="the manifest of a corpus", limit=256 << 20)
_log = logging.getLogger(__name__)


def ensure(folder: Path, plan: dict[str, Any], fill: Callable[[Path], None]) -> None:
    """Generate a folder of WAV files by `fill`, unless it holds the same files already.

    The plan describes the sounds. It is kept in `folder`/manifest.json with a SHA-256 of every
    file; a folder that matches both is reused. New files are written to a temporary folder, which
    then replaces `folder`.

    Args:
        folder: folder that shall hold wavs/<id>.wav for each utterance.
        plan: plain JSON data that determines the sounds; "utterances" is a list of dicts, each with
            an "id".
        fill: function that writes the WAV files into the folder that it is given.

    Raises:
        DataError: `folder` holds something else. Errors of `fill` are passed on.
        MachineError: the disk is full.
    """
    if not _fits(folder, plan):
        _make(folder, plan, fill)


def _fits(folder: Path, plan: dict[str, Any]) -> bool:
    if not (folder / MANIFEST).exists():
        return False
    try:
        stored = json.loads(files.read_bytes(folder / MANIFEST, _MANIFESTS))
        sums = stored.pop("sha256")
        return stored == plan and sums == _checksums(folder, plan)
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError, DataError) as error:
        _log.warning("%s: not usable (%s); made anew", folder, error)
        return False


def _checksums(folder: Path, plan: dict[str, Any]) -> dict[str, str]:
    paths = (folder / "wavs" / f"{utterance['id']}.wav" for utterance in plan["utterances"])
    return {path.name: files.sha256(path, SOUND) for path in paths}


def _make(folder: Path, plan: dict[str, Any], fill: Callable[[Path], None]) -> None:
    if folder.exists() and not (folder / MANIFEST).is_file() and any(folder.iterdir()):
        raise DataError(f"{folder}: holds files that are no spoken corpus", "name a new folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".", suffix=TEMPORARY, dir=folder.parent
        ) as temporary:
            half = Path(temporary) / folder.name
            (half / "wavs").mkdir(parents=True)
            fill(half / "wavs")
            stored = plan | {"sha256": _checksums(half, plan)}
            (half / MANIFEST).write_text(json.dumps(stored, indent=1, ensure_ascii=True), "utf-8")
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(half, folder)
    except OSError as error:
        raise cannot_write(folder, error) from None
