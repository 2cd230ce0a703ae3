"""Small JSON files, written atomically and read with clear errors."""

import dataclasses
import json
import os
from typing import Any

from speechseq import files
from speechseq.errors import CheckpointError
from speechseq.file_writing import replace_file

_JSON = files.Kind(name="a JSON file", limit=16 << 20, error=CheckpointError)


def write_json(path: str | os.PathLike[str], data: Any) -> None:
    """Write plain data as JSON atomically: to a temporary file next to `path`, then by a rename.

    Raises:
        MachineError: the file cannot be written; an existing file is unchanged.
    """
    replace_file(path, json.dumps(data, indent=1).encode() + b"\n", durable=True)


def read_json(path: str | os.PathLike[str], cure: str) -> Any:
    """Read a JSON file of a checkpoint and return its data.

    Args:
        path: the file.
        cure: advice for the user, part of the error's message if the file cannot be read.

    Raises:
        CheckpointError: the file is missing, unreadable or not JSON.
    """
    try:
        return json.loads(files.read_bytes(path, dataclasses.replace(_JSON, cure=cure)))
    except (ValueError, RecursionError):
        raise CheckpointError(f"{path}: is no JSON, it may have been cut", cure) from None
