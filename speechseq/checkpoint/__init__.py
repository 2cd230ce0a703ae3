"""Checkpoints: one folder with configuration, audio settings, vocabulary and weights.

All files are JSON or safetensors, read by parsers that cannot run code. The caller names the
expected Config class, so no class is looked up by name. Folders are written completely or not at
all. `config.json` holds size and SHA-256 of every other file and, since version 2, a checksum of
itself.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import safetensors.torch
import torch
from torch import Tensor, nn

from speechseq.audio.mel import AudioConfig
from speechseq.checkpoint.description import (
    FORMAT,
    VERSION,
    described_size,
    parse_json,
    read_description,
    sealed,
)
from speechseq.checkpoint.folder import (
    CONFIG,
    COPY_AGAIN,
    VOCABULARY,
    WEIGHTS,
    read_bytes,
    resolve,
    write_folder,
)
from speechseq.checkpoint.skeleton import differences
from speechseq.checkpoint.tensors import check_header, parse_weights, pickle_hint
from speechseq.config import Config
from speechseq.errors import CheckpointError, ConfigError, SpeechseqError
from speechseq.nn.meta_build import shapeless_build
from speechseq.ranges import shown
from speechseq.text.vocabulary import Vocabulary

C = TypeVar("C", bound=Config)

_LARGEST_VOCABULARY = 64 << 20  # bytes; it may contain a sentencepiece model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint(Generic[C]):
    """Checkpoint of a trained model, read by `load`; `restore` builds the model.

    `Contents` is the same without interpretation.

    Attributes:
        folder: the checkpoint's folder.
        model: config that builds the model.
        hearing: audio settings; None for text-only models. `audio` is the same, never None.
        vocabulary: symbols and their ids.
        weights: tensors by name, as of `state_dict()`.
        update: number of optimizer updates before the checkpoint was saved.
    """

    folder: Path
    model: C
    hearing: AudioConfig | None
    vocabulary: Vocabulary
    weights: dict[str, Tensor]
    update: int

    @property
    def audio(self) -> AudioConfig:
        """Audio settings of the model.

        Raises:
            CheckpointError: the model is text-only and has none.
        """
        if self.hearing is None:
            problem = f"{self.folder}: has no audio settings: its model knows text alone"
            raise CheckpointError(problem, "give a checkpoint of a model that hears or speaks")
        return self.hearing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contents:
    """Contents of a checkpoint folder as plain data, read without the class of its model.

    `read` returns them; `load` returns the settings as objects.

    Attributes:
        folder: the checkpoint's folder.
        config: content of config.json: settings of the model ("model") and facts about the
            checkpoint.
        vocabulary: content of vocabulary.json.
        weights: tensors by name.
    """

    folder: Path
    config: dict[str, Any]
    vocabulary: Any
    weights: dict[str, Tensor]

    def audio(self) -> AudioConfig | None:
        """Build the audio settings; None for text-only models.

        Raises:
            CheckpointError: the settings are invalid.
        """
        with _as_checkpoint_error(self.folder / CONFIG):
            data = self.config["audio"]
            return None if data is None else AudioConfig.from_dict(data, where="audio")

    def read_vocabulary(self) -> Vocabulary:
        """Build the vocabulary from its plain data.

        Raises:
            CheckpointError: the vocabulary is invalid.
        """
        with _as_checkpoint_error(self.folder / VOCABULARY):
            return Vocabulary.from_dict(self.vocabulary)


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
    """Write a checkpoint folder, complete or not at all; an older checkpoint there is replaced.

    Args:
        folder: the checkpoint's own folder, which is returned; its parents are created.
        model: config that builds the model.
        audio: audio settings; None for text-only models.
        vocabulary: symbols and their ids.
        weights: the model's `state_dict()`, on any device; tensors may be tied or strided.
        update: number of optimizer updates so far.
        extra: contents of further files by name, such as the state to resume a run.

    Raises:
        ConfigError: the folder exists and is not a checkpoint.
        MachineError: the disk is full or cannot be written; nothing is left behind.
    """
    # copy every tensor: the format refuses views, tied and strided tensors
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
        "format": FORMAT,
        "version": VERSION,
        "update": update,
        "model": model.to_dict(),
        "audio": None if audio is None else audio.to_dict(),
        "files": {name: _fingerprint(data) for name, data in files.items()},
    }
    write_folder(Path(folder), files | {CONFIG: _json_bytes(sealed(config))})
    return Path(folder)


def load(
    folder: str | os.PathLike[str], expect: type[C], *, also: Sequence[type[Config]] = ()
) -> Checkpoint[C]:
    """Load a checkpoint, or the last one of a run's folder; `restore` then builds the model.

    Args:
        folder: the checkpoint, the run, or the run's folder `checkpoints`.
        expect: the Config class of the model, named by the caller.
        also: further Config classes that its `choice` fields may hold.

    Raises:
        CheckpointError: the folder is missing, truncated or modified, holds another kind of model,
            or is not a checkpoint.

    Examples:
        >>> from speechseq.models.tacotron import TacotronConfig
        >>> stored = load("runs/demo/voice", TacotronConfig)
        >>> symbols, mels = len(stored.vocabulary), stored.audio.mels
        >>> model = restore(stored, lambda: stored.model.build(symbols=symbols, mels=mels))
    """
    contents = read(folder)
    config = contents.config
    found = config["model"].get("kind")
    if found != (expect.kind or None):
        raise CheckpointError(
            f"{contents.folder}: holds a model of kind {shown(found)}, not {expect.kind!r}",
            "give a checkpoint of the model that this command is for",
        )
    with _as_checkpoint_error(contents.folder / CONFIG):
        model = expect.from_dict(config["model"], also=also, where="model")
    return Checkpoint(
        folder=contents.folder,
        model=model,
        hearing=contents.audio(),
        vocabulary=contents.read_vocabulary(),
        weights=contents.weights,
        update=config["update"],
    )


def read(folder: str | os.PathLike[str]) -> Contents:
    """Read and verify a checkpoint as plain data, without the Config classes of its model.

    `folder` may also be that of a run, whose last checkpoint is read.

    Raises:
        CheckpointError: the folder is missing, truncated, modified, or not a checkpoint.
    """
    found = resolve(folder)
    config = read_description(found)
    written = read_file(found, VOCABULARY, config, _LARGEST_VOCABULARY)
    vocabulary = parse_json(found / VOCABULARY, written)
    check_header(found / WEIGHTS)
    weights = parse_weights(found / WEIGHTS, read_file(found, WEIGHTS, config))
    return Contents(folder=found, config=config, vocabulary=vocabulary, weights=weights)


def read_file(folder: Path, name: str, config: Mapping[str, Any], most: int | None = None) -> bytes:
    """Read one file of a checkpoint, verified by the size and the SHA-256 in config.json.

    Args:
        folder: the checkpoint's folder.
        name: name of the file in the folder.
        config: description of the checkpoint, the content of its config.json.
        most: maximum number of bytes, even if the description states more; None sets no other
            limit.

    Raises:
        CheckpointError: the file is missing, truncated, modified or too large.
    """
    size = described_size(folder, name, config)
    data = read_bytes(folder / name, size if most is None else min(size, most))
    if len(data) != size:
        raise CheckpointError(
            f"{folder / name}: {len(data)} bytes, {size} were written" + pickle_hint(data),
            COPY_AGAIN,
        )
    if _fingerprint(data) != dict(config["files"][name]):
        problem = f"{folder / name}: its bytes were changed since it was written (SHA-256 differs)"
        raise CheckpointError(problem + pickle_hint(data), COPY_AGAIN)
    return data


def restore(checkpoint: Checkpoint[C], build: Callable[[], nn.Module]) -> nn.Module:
    """Build the model of a checkpoint and load its weights.

    Names and shapes are first compared with those of a model built without memory, so that a config
    with wrong sizes cannot exhaust the memory.

    Args:
        checkpoint: result of `load`.
        build: function that builds the model, without arguments; it is called twice.

    Raises:
        CheckpointError: the model cannot be built, or its tensors differ from the checkpoint's.
    """
    where = checkpoint.folder / CONFIG
    with torch.random.fork_rng(devices=[]):  # keep the random state: weights are overwritten
        try:
            skeleton = shapeless_build(build, 1000 + 20 * len(checkpoint.weights))
        except (RuntimeError, ValueError, OverflowError, MemoryError, ConfigError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0][:200]
            problem = f"{where}: no model can be built as it says: {reason}"
            raise CheckpointError(problem, COPY_AGAIN) from None
        if wrong := differences(checkpoint.weights, skeleton):
            problem = f"{checkpoint.folder}: {WEIGHTS} does not fit {CONFIG}: {wrong}"
            raise CheckpointError(problem, COPY_AGAIN)
        model = build()
    model.load_state_dict(checkpoint.weights, strict=True)
    return model


def _json_bytes(data: Any) -> bytes:
    return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()


def _fingerprint(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@contextmanager
def _as_checkpoint_error(where: Path) -> Iterator[None]:
    try:
        yield
    except SpeechseqError as error:
        raise CheckpointError(f"{where}: {error.problem}", error.cure or COPY_AGAIN) from None
