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
    """Names of the symbols and speakers of a model, in the order of the rows of its tensors.

    `fit` matches the rows of two models by these names.

    Attributes:
        vocabulary: symbols, one row of embeddings and output projections each.
        speakers: names of the speakers, one row of the speaker table each; empty for a model of one
            voice.
    """

    vocabulary: Vocabulary
    speakers: tuple[str, ...] = ()

    def entries(self) -> dict[Entry, int]:
        """Map each entry of the vocabulary to its row, by ("control" or "symbol", name)."""
        named = [("control", name) for name in self.vocabulary.controls]
        named += [("symbol", name) for name in self.vocabulary.symbols]
        return _numbered(named)

    def voices(self) -> dict[Entry, int]:
        """Rows of the speaker table; the key of a speaker is ("speaker", name)."""
        return _numbered([("speaker", name) for name in self.speakers])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fitted:
    """Result of `fit`: weights to load into a new model, and which names were matched.

    Attributes:
        weights: tensors by name, as for `load_state_dict`. A tensor whose shape differs from the
            model's is that of the checkpoint, unchanged; the caller has to report it.
        taken: number of entries of the vocabulary that both models have.
        new: symbols that only the new model has.
        missing: symbols that only the checkpoint has.
        new_parts: optional parts and speakers that only the new model has.
        missing_parts: optional parts and speakers that only the checkpoint has.
    """

    weights: dict[str, Tensor]
    taken: int
    new: tuple[str, ...]
    missing: tuple[str, ...]
    new_parts: tuple[str, ...]
    missing_parts: tuple[str, ...]


def fit(weights: Mapping[str, Tensor], model: nn.Module, old: Names, new: Names) -> Fitted:
    """Fit a checkpoint's weights to a model with other symbols, speakers or optional parts.

    Rows of embeddings, output projections and speaker tables are copied by name. Rows and optional
    parts that the checkpoint lacks keep the model's values; optional parts that only the checkpoint
    has are left out. The model is not changed.

    Args:
        weights: tensors of the checkpoint, by name.
        model: the new model.
        old: symbols and speakers of the checkpoint.
        new: symbols and speakers of the model.
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
