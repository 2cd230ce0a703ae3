"""Small JSON files, written whole or not at all and read with clear errors."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from speechseq.errors import CheckpointError, MachineError


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
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}", cure) from None
    except (ValueError, RecursionError):
        raise CheckpointError(f"{path}: is no JSON, it may have been cut", cure) from None
