"""Checkpoint: configuration, audio settings, vocabulary, weights in one folder, whole and harmless.

Everything is JSON or safetensors, read by parsers that cannot run code; the caller names the Config
class it expects, so nothing is looked up by name. A folder appears under its name whole or not at
all, and `config.json` holds size and SHA-256 of every other file.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from speechseq.audio.mel import AudioConfig
from speechseq.checkpoint.folder import (
    CONFIG,
    COPY_AGAIN,
    VOCABULARY,
    WEIGHTS,
    read_bytes,
    resolve,
    write_folder,
)
from speechseq.checkpoint.skeleton import differences, shapeless_build
from speechseq.config import Config, nearest
from speechseq.errors import CheckpointError, ConfigError, SpeechseqError
from speechseq.text.vocabulary import Vocabulary

C = TypeVar("C", bound=Config)

_FORMAT, _VERSION = "speechseq checkpoint", 1
_KEYS = ("format", "version", "update", "model", "audio", "files")
_LARGEST_JSON = 16 << 20  # bytes; ours are a few kB, and no stranger's file should fill the memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint(Generic[C]):
    """What one folder holds: how to build the model, hear with it and read with it; its weights.

    `hearing` is None for a model of text alone.
    """

    folder: Path
    model: C
    hearing: AudioConfig | None
    vocabulary: Vocabulary
    weights: dict[str, Tensor]
    update: int

    @property
    def audio(self) -> AudioConfig:
        """How the model hears.

        Raises:
            CheckpointError: it is a model of text alone.
        """
        if self.hearing is None:
            problem = f"{self.folder}: has no audio settings: its model knows text alone"
            raise CheckpointError(problem, "give a checkpoint of a model that hears or speaks")
        return self.hearing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contents:
    """The verified but uninterpreted content of a checkpoint folder, as plain data and tensors."""

    folder: Path
    config: dict[str, Any]
    vocabulary: Any
    weights: dict[str, Tensor]


def save(
    folder: str | os.PathLike[str],
    *,
    model: Config,
    audio: AudioConfig | None,
    vocabulary: Vocabulary,
    weights: Mapping[str, Tensor],
    update: int,
    extra: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a checkpoint folder, whole or not at all; an older checkpoint there is replaced.

    Args:
        folder: the checkpoint's own folder; its parents are made.
        audio: None for a model of text alone.
        weights: the model's `state_dict()`, on any device; tied or strided tensors are welcome.
        update: optimizer updates made so far.
        extra: further files by name, such as what a run needs to go on.

    Raises:
        ConfigError: the folder exists and holds something else.
        MachineError: the disk is full or cannot be written; nothing is left behind.
    """
    # every tensor gets memory of its own: the format refuses views, tied and strided tensors
    owned = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in weights.items()
    }
    files = {
        VOCABULARY: _json_bytes(vocabulary.to_dict()),
        WEIGHTS: safetensors.torch.save(owned),
        **(extra or {}),
    }
    config = {
        "format": _FORMAT,
        "version": _VERSION,
        "update": update,
        "model": model.to_dict(),
        "audio": None if audio is None else audio.to_dict(),
        "files": {name: _fingerprint(data) for name, data in files.items()},
    }
    write_folder(Path(folder), files | {CONFIG: _json_bytes(config)})
    return Path(folder)


def load(
    folder: str | os.PathLike[str], expect: type[C], *, also: Sequence[type[Config]] = ()
) -> Checkpoint[C]:
    """Open a checkpoint folder, or the last checkpoint of a run's folder.

    Args:
        expect: the Config class of the model, named by the caller.
        also: further Config classes that its `choice` fields may hold.

    Raises:
        CheckpointError: it is missing, cut, changed, of another model, or not a checkpoint.
    """
    contents = read(folder)
    where, config = contents.folder / CONFIG, contents.config
    found = config["model"].get("kind") if isinstance(config["model"], Mapping) else None
    if found != (expect.kind or None):
        raise CheckpointError(
            f"{contents.folder}: holds a model of kind {found!r}, not {expect.kind!r}",
            "give a checkpoint of the model that this command is for",
        )
    audio = config["audio"]
    try:
        return Checkpoint(
            folder=contents.folder,
            model=expect.from_dict(config["model"], also=also, where="model"),
            hearing=None if audio is None else AudioConfig.from_dict(audio, where="audio"),
            vocabulary=Vocabulary.from_dict(contents.vocabulary),
            weights=contents.weights,
            update=config["update"],
        )
    except SpeechseqError as error:
        raise CheckpointError(f"{where}: {error.problem}", error.cure or COPY_AGAIN) from None


def read(folder: str | os.PathLike[str]) -> Contents:
    """Read and verify a checkpoint folder without interpreting its configuration.

    Raises:
        CheckpointError: it is missing, cut, changed, or not a checkpoint.
    """
    found = resolve(folder)
    config = _read_config(found)
    vocabulary = _parse(found / VOCABULARY, read_file(found, VOCABULARY, config))
    weights = _parse_weights(found / WEIGHTS, read_file(found, WEIGHTS, config))
    return Contents(folder=found, config=config, vocabulary=vocabulary, weights=weights)


def read_file(folder: Path, name: str, config: Mapping[str, Any]) -> bytes:
    """The bytes of one file of a checkpoint, equal in size and SHA-256 to its description.

    Raises:
        CheckpointError: the file is missing, cut or changed.
    """
    described = config["files"].get(name)
    if not isinstance(described, Mapping) or not isinstance(described.get("size"), int):
        raise CheckpointError(f"{folder / CONFIG}: files: no size of {name}", COPY_AGAIN)
    data = read_bytes(folder / name, described["size"])
    if len(data) != described["size"]:
        raise CheckpointError(
            f"{folder / name}: {len(data)} bytes, {described['size']} were written"
            + _pickle_hint(data),
            COPY_AGAIN,
        )
    if _fingerprint(data) != dict(described):
        problem = f"{folder / name}: its bytes were changed since it was written (SHA-256 differs)"
        raise CheckpointError(problem + _pickle_hint(data), COPY_AGAIN)
    return data


def restore(checkpoint: Checkpoint[C], build: Callable[[], nn.Module]) -> nn.Module:
    """The model of a checkpoint, built and filled with its weights.

    It is first built without memory, and its names and shapes are compared with the weights, so
    that a description with sizes not its own cannot fill the machine.

    Raises:
        CheckpointError: it cannot be built, or its tensors are not those of the checkpoint.
    """
    where = checkpoint.folder / CONFIG
    with torch.random.fork_rng(devices=[]):  # building draws weights that are overwritten at once
        try:
            skeleton = shapeless_build(build, len(checkpoint.weights))
        except (RuntimeError, ValueError, OverflowError, MemoryError, ConfigError) as error:
            problem = f"{where}: no model can be built as it says: {_first_line(error)}"
            raise CheckpointError(problem, COPY_AGAIN) from None
        if wrong := differences(checkpoint.weights, skeleton):
            problem = f"{checkpoint.folder}: {WEIGHTS} does not fit {CONFIG}: {wrong}"
            raise CheckpointError(problem, COPY_AGAIN)
        model = build()
    model.load_state_dict(checkpoint.weights, strict=True)
    return model


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    config = _parse(path, read_bytes(path, _LARGEST_JSON))
    if not isinstance(config, dict) or config.get("format") != _FORMAT:
        raise CheckpointError(f"{path}: not the description of a checkpoint", COPY_AGAIN)
    if config.get("version") != _VERSION:
        problem = f"{path}: format version {config.get('version')!r}, this program reads {_VERSION}"
        raise CheckpointError(problem, "install the version of speechseq that wrote it")
    for key in config:
        if key not in _KEYS:
            raise CheckpointError(f"{path}: {key}: unknown key", nearest(key, _KEYS))
    if missing := [key for key in _KEYS if key not in config]:
        raise CheckpointError(f"{path}: missing keys: {', '.join(missing)}", COPY_AGAIN)
    update = config["update"]
    if type(update) is not int or update < 0 or not isinstance(config["files"], dict):
        raise CheckpointError(f"{path}: update or files has the wrong type", COPY_AGAIN)
    return config


def _parse(path: Path, data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not JSON: {_first_line(error)}", COPY_AGAIN) from None


def _parse_weights(path: Path, data: bytes) -> dict[str, Tensor]:
    try:
        weights = safetensors.torch.load(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError, AssertionError) as error:
        problem = f"{path}: not a safetensors file: {_first_line(error)}"
        raise CheckpointError(problem + _pickle_hint(data), COPY_AGAIN) from None
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            problem = f"{path}: {name} holds NaN or Inf: the training had diverged"
            raise CheckpointError(problem, "use an earlier checkpoint of the run")
    return weights


def _pickle_hint(data: bytes) -> str:
    return "; it looks like a Python pickle, never opened" if data[:2] in _PICKLES else ""


_PICKLES = {b"PK", *(b"\x80" + bytes([protocol]) for protocol in range(2, 6))}


def _json_bytes(data: Any) -> bytes:
    return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()


def _fingerprint(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
