"""Warm start: a new run begins from a checkpoint's weights, with vocabularies matched by symbol.

A module that has one row for each entry of the vocabulary in some tensors lists their names in an
attribute `symbol_rows`, such as ("embedding.weight",).
"""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from speechseq import checkpoint
from speechseq.checkpoint.folder import WEIGHTS
from speechseq.checkpoint.skeleton import differences
from speechseq.errors import CheckpointError
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.saving import ModelDescription, first_difference

_CURE = "choose a checkpoint of a model with these settings, or set the model as it has it"
_SHOWN = 40  # symbols listed in one line


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmStart:
    """Origin of a run's initial weights.

    Attributes:
        folder: folder of the checkpoint.
        taken: number of entries of the vocabulary, controls included, whose rows were copied.
        new: symbols that keep their random initialisation.
        left: symbols of the checkpoint that the new vocabulary lacks.
        audio: first audio setting that differs, with both values, or "".
    """

    folder: Path
    taken: int
    new: tuple[str, ...]
    left: tuple[str, ...]
    audio: str

    def line(self) -> str:
        """Format the origin as one sentence."""
        line = f"weights of {self.folder}: "
        line += f"{self.taken} of {self.taken + len(self.new)} symbols taken over"
        line += f", new: {_listed(self.new)}" if self.new else ""
        line += f", left behind: {_listed(self.left)}" if self.left else ""
        return line + (f"; other audio settings: {self.audio}" if self.audio else "")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name as a dict of plain data, for the log."""
        return dataclasses.asdict(self) | {"folder": str(self.folder)}


def warm_start(model: nn.Module, about: ModelDescription, folder: Path | str) -> WarmStart:
    """Fill a freshly built model with the weights of a checkpoint.

    Rows of embeddings and output projections are copied by symbol; a symbol that the checkpoint
    lacks keeps its random row. All other tensors are copied unchanged.

    Args:
        about: the new run's model, audio settings and vocabulary.
        folder: a checkpoint or run folder.

    Raises:
        CheckpointError: the checkpoint is damaged, of another kind of model, or a tensor has
            another shape.
    """
    stored = checkpoint.read(folder)
    _check_kind(stored, about)
    theirs, ours = _entries(Vocabulary.from_dict(stored.vocabulary)), _entries(about.vocabulary)
    state = model.state_dict()
    by_symbol = set(_symbol_rows(model)) & state.keys() & stored.weights.keys()
    weights = {
        name: _moved(value, state[name], theirs, ours) if name in by_symbol else value
        for name, value in stored.weights.items()
    }
    if wrong := differences(weights, state):
        problem = f"{stored.folder}: {WEIGHTS} does not fit the new model: {wrong}"
        raise CheckpointError(problem, _CURE)
    model.load_state_dict(weights)
    return WarmStart(
        folder=stored.folder,
        taken=len(ours.keys() & theirs.keys()),
        new=_missing(ours, theirs),
        left=_missing(theirs, ours),
        audio=_audio_difference(stored, about),
    )


def _check_kind(stored: checkpoint.Contents, about: ModelDescription) -> None:
    model = stored.config["model"]
    found = model.get("kind") if isinstance(model, dict) else None
    if found != (about.model.kind or None):
        problem = f"{stored.folder}: holds a model of kind {found!r}, not {about.model.kind!r}"
        raise CheckpointError(problem, "choose a checkpoint of the kind that this recipe trains")


def _entries(vocabulary: Vocabulary) -> dict[tuple[str, str], int]:
    """Map every control and symbol to its id; a symbol spelled like a control is another entry."""
    named = [("control", name) for name in vocabulary.controls]
    named += [("symbol", name) for name in vocabulary.symbols]
    return {name: number for number, name in enumerate(named)}


def _symbol_rows(model: nn.Module) -> Iterator[str]:
    for prefix, module in model.named_modules():
        for name in getattr(module, "symbol_rows", ()):
            yield f"{prefix}.{name}" if prefix else name


def _moved(theirs: Tensor, ours: Tensor, old: dict, new: dict) -> Tensor:
    """Copy the rows of shared symbols from `theirs` into a copy of `ours`.

    Returns `theirs` unchanged if its sizes do not fit.
    """
    if len(theirs) != len(old) or len(ours) != len(new) or theirs.shape[1:] != ours.shape[1:]:
        return theirs
    shared = [name for name in new if name in old]
    moved = ours.detach().clone()
    rows = theirs[[old[name] for name in shared]]
    moved[[new[name] for name in shared]] = rows.to(moved.device, moved.dtype)
    return moved


def _missing(
    here: dict[tuple[str, str], int], there: dict[tuple[str, str], int]
) -> tuple[str, ...]:
    return tuple(name for kind, name in here if (kind, name) not in there)


def _audio_difference(stored: checkpoint.Contents, about: ModelDescription) -> str:
    ours = None if about.audio is None else about.audio.to_dict()
    return first_difference(stored.config["audio"], json.loads(json.dumps(ours)), "audio")


def _listed(symbols: Sequence[str]) -> str:
    more = f" and {len(symbols) - _SHOWN} more" if len(symbols) > _SHOWN else ""
    shown = (s if s.isprintable() and not s.isspace() else repr(s) for s in symbols[:_SHOWN])
    return " ".join(shown) + more
