"""Small JSON files, written whole or not at all and read with clear errors."""

import dataclasses
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from speechseq import files
from speechseq.errors import CheckpointError, MachineError

_JSON = files.Kind(name="a JSON file", limit=16 << 20, error=CheckpointError)


def write_json(path: str | os.PathLike[str], data: Any) -> None:
    """Write data as JSON beside `path`, then put it in place in one move.

    Raises:
        MachineError: the file cannot be written; what stood there before stays.
    """
    target = Path(path)
    beside = ""
    try:
        handle, beside = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            json.dump(data, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o644)
        os.replace(beside, target)
    except OSError as error:
        if beside:
            Path(beside).unlink(missing_ok=True)
        raise MachineError(f"{target}: cannot be written: {error.strerror}") from None


def read_json(path: str | os.PathLike[str], cure: str) -> Any:
    """Read a JSON file.

    Raises:
        CheckpointError: it is missing, unreadable or no JSON.
    """
    try:
        return json.loads(files.read_bytes(path, dataclasses.replace(_JSON, cure=cure)))
    except (ValueError, RecursionError):
        raise CheckpointError(f"{path}: is no JSON, it may have been cut", cure) from None
