"""Weights of a checkpoint fitted to a new model: rows matched by name, missing parts filled.

A module that has one row for each entry of the vocabulary in some tensors lists their names in an
attribute `symbol_rows`, such as ("embedding.weight",); with one row for each speaker, in
`speaker_rows`. A model lists in `optional_parts` those parts without which it can run.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from speechseq.text.vocabulary import Vocabulary

Entry = tuple[str, str]  # whether it is a control, symbol or speaker, and its name


class Names(NamedTuple):
    """Names of the rows of a model's tensors, by which rows of two models are matched.

    Attributes:
        vocabulary: symbols of the embeddings and output projections.
        speakers: names in the table of speakers; empty for a model without one.
    """

    vocabulary: Vocabulary
    speakers: tuple[str, ...] = ()

    def entries(self) -> dict[Entry, int]:
        """Map ("control" or "symbol", name) of every entry of the vocabulary to its row."""
        named = [("control", name) for name in self.vocabulary.controls]
        named += [("symbol", name) for name in self.vocabulary.symbols]
        return _numbered(named)

    def voices(self) -> dict[Entry, int]:
        """Map ("speaker", name) of every speaker to its row in the table of speakers."""
        return _numbered([("speaker", name) for name in self.speakers])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fitted:
    """Result of `fit`: weights to load into a new model, and the names that were matched.

    Attributes:
        weights: tensors by name; a tensor whose shape differs from the model's is the checkpoint's,
            unchanged, for the caller to report.
        taken: number of entries of the vocabulary that both have.
        new: symbols that only the model has.
        missing: symbols that only the checkpoint has.
        new_parts: optional parts and speakers that only the model has.
        missing_parts: optional parts and speakers that only the checkpoint has.
    """

    weights: dict[str, Tensor]
    taken: int
    new: tuple[str, ...]
    missing: tuple[str, ...]
    new_parts: tuple[str, ...]
    missing_parts: tuple[str, ...]


def fit(weights: Mapping[str, Tensor], model: nn.Module, old: Names, new: Names) -> Fitted:
    """Match a checkpoint's weights with a model by the names of rows; the model is not changed.

    Rows are copied by the names of `old` and `new`; further rows, and optional parts that the
    checkpoint lacks as a whole, keep the model's values. Optional parts that only the checkpoint
    has are left out.

    Args:
        weights: tensors of the checkpoint, by name.
        model: the new model.
        old: names of the rows of the checkpoint's tensors.
        new: names of the rows of the model's tensors.
    """
    state, (theirs, ours) = model.state_dict(), (old.entries(), new.entries())
    fitted = dict(weights)
    for attribute, pair in (
        ("symbol_rows", (theirs, ours)),
        ("speaker_rows", (old.voices(), new.voices())),
    ):
        for name in _listed_tensors(model, attribute):
            if name in fitted and name in state:
                fitted[name] = _moved(fitted[name], state[name], *pair)
    parts = getattr(model, "optional_parts", ())
    added, dropped = _lacking(parts, state, weights), _lacking(parts, weights, state)
    fitted = {name: value for name, value in fitted.items() if not _within(name, dropped)}
    fitted |= {name: value for name, value in state.items() if _within(name, added)}
    return Fitted(
        weights=fitted,
        taken=len(ours.keys() & theirs.keys()),
        new=_missing(ours, theirs),
        missing=_missing(theirs, ours),
        new_parts=(*added, *_missing(new.voices(), old.voices())),
        missing_parts=(*dropped, *_missing(old.voices(), new.voices())),
    )


def _numbered(names: list[Entry]) -> dict[Entry, int]:
    return {name: number for number, name in enumerate(names)}


def _listed_tensors(model: nn.Module, attribute: str) -> list[str]:
    """Full names of the tensors that the modules of a model list in an attribute."""
    return [
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        for name in getattr(module, attribute, ())
    ]


def _moved(theirs: Tensor, ours: Tensor, old: dict[Entry, int], new: dict[Entry, int]) -> Tensor:
    """Copy the rows of shared names from `theirs` into a copy of `ours`.

    Returns `theirs` unchanged if its sizes do not fit.
    """
    if len(theirs) != len(old) or len(ours) != len(new) or theirs.shape[1:] != ours.shape[1:]:
        return theirs
    shared = [name for name in new if name in old]
    moved = ours.detach().clone()
    rows = theirs[[old[name] for name in shared]]
    moved[[new[name] for name in shared]] = rows.to(moved.device, moved.dtype)
    return moved


def _missing(here: dict[Entry, int], there: dict[Entry, int]) -> tuple[str, ...]:
    return tuple(entry[1] for entry in here if entry not in there)


def _lacking(parts: Iterable[str], here: Iterable[str], there: Iterable[str]) -> tuple[str, ...]:
    """Parts of which `here` has tensors and `there` none."""
    here, there = list(here), list(there)
    return tuple(
        part
        for part in parts
        if any(_within(name, [part]) for name in here)
        and not any(_within(name, [part]) for name in there)
    )


def _within(name: str, parts: Iterable[str]) -> bool:
    return any(name.startswith(f"{part}.") for part in parts)
