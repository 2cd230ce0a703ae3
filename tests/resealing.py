"""Change the files of a checkpoint as an attacker would, who makes all checksums anew."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from speechseq.checkpoint.description import sealed


def change_config(folder: Path, change: Callable[[dict], object]) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    change(config)
    if config.get("version") == 2:
        config = sealed(config)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")


def replace_file(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    described = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    change_config(folder, lambda c: c["files"].update({name: described}))
