"""Description of a checkpoint, config.json: required keys, and a checksum of the file itself."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechseq.checkpoint.folder import CONFIG, COPY_AGAIN, read_bytes
from speechseq.config import nearest
from speechseq.errors import CheckpointError
from speechseq.ranges import shown

FORMAT, VERSION = "speechseq checkpoint", 2
SEAL = "sha256"
_KEYS = ("format", "version", "update", "model", "audio", "files")
_LARGEST_JSON = 16 << 20  # bytes; a config has a few kB, and a larger file could fill the memory
_MOST_UPDATES = 10**12


def sealed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a checkpoint's config.json with a checksum added.

    The key "sha256" is added: the SHA-256 of the other keys as canonical JSON.
    """
    rest = {key: value for key, value in config.items() if key != SEAL}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return rest | {SEAL: hashlib.sha256(canonical.encode()).hexdigest()}


def read_description(folder: Path) -> dict[str, Any]:
    """Read and verify config.json, the description of a checkpoint, in its folder.

    Version 1 of the format, which has no checksum, is accepted too.

    Raises:
        CheckpointError: the file is missing, truncated, modified, of a later version, or not a
            description.
    """
    path = folder / CONFIG
    return parse_description(path, read_bytes(path, _LARGEST_JSON))


def parse_description(path: Path, data: bytes) -> dict[str, Any]:
    """Parse the content of a checkpoint's config.json, and verify its checksum and version.

    Args:
        path: the file, for messages.
        data: content of the file.

    Raises:
        CheckpointError: see `read_description`.
    """
    config = parse_json(path, data)
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not the description of a checkpoint", COPY_AGAIN)
    version = config.get("version")
    if type(version) is not int or not 1 <= version <= VERSION:
        problem = f"{path}: format version {shown(version)}, this program reads 1 to {VERSION}"
        raise CheckpointError(problem, "install the version of speechseq that wrote it")
    keys = _KEYS if version == 1 else (*_KEYS, SEAL)
    for key in config:
        if key not in keys:
            raise CheckpointError(f"{path}: {key[:80]}: unknown key", nearest(key, keys))
    if missing := [key for key in keys if key not in config]:
        raise CheckpointError(f"{path}: missing keys: {', '.join(missing)}", COPY_AGAIN)
    if version > 1 and config != sealed(config):
        problem = f"{path}: its values were changed since it was written (SHA-256 differs)"
        raise CheckpointError(problem, COPY_AGAIN)
    _check_types(path, config)
    return {key: config[key] for key in _KEYS}


def described_size(folder: Path, name: str, config: Mapping[str, Any]) -> int:
    """Return the size of a checkpoint's file in bytes, as its description states it.

    Args:
        folder: the checkpoint's folder, for messages.
        name: name of the file.
        config: description, the content of config.json.

    Raises:
        CheckpointError: the description does not state the size.
    """
    described = config["files"].get(name)
    size = described.get("size") if isinstance(described, Mapping) else None
    if type(size) is not int or size < 0:
        raise CheckpointError(f"{folder / CONFIG}: files: no size of {name}", COPY_AGAIN)
    return size


def parse_json(path: Path, data: bytes) -> Any:
    """Parse the bytes of a JSON file to plain data; `path` is for messages.

    Raises:
        CheckpointError: the file is not JSON, or a key is repeated.
    """
    try:
        return json.loads(data, object_pairs_hook=_without_twins)
    except (ValueError, RecursionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise CheckpointError(f"{path}: not JSON: {reason}", COPY_AGAIN) from None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _check_types(path: Path, config: Mapping[str, Any]) -> None:
    update = config["update"]
    if type(update) is not int or not 0 <= update <= _MOST_UPDATES:
        problem = f"{path}: update: {shown(update)} is no number of updates"
        raise CheckpointError(problem, COPY_AGAIN)
    for key in ("model", "files"):
        if not isinstance(config[key], dict):
            raise CheckpointError(f"{path}: {key}: has the wrong type", COPY_AGAIN)
