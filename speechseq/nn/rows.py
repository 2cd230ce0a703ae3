"""Indexing of nested decoder states by rows, when a batch shrinks or a beam is re-ordered.

A batch has a row for each hypothesis, and the rows of an utterance are adjacent: with k hypotheses
per utterance, row i belongs to utterance i // k. Outside of a beam search k is 1.
"""

import functools
from typing import Annotated, Any, get_type_hints

from torch import Tensor

# annotation of a NamedTuple's field with one row per utterance, whatever k is: all hypotheses read
# it and no step changes it, such as a memory and its keys. Other fields have k rows per utterance.
PerUtterance = Annotated[Tensor, "one row per utterance"]

# annotation of a field whose rows another field indexes: only the indices are re-ordered
Indexed = Annotated[Tensor, "rows that another field indexes"]


def select_rows(state: Any, rows: Tensor) -> Any:
    """Select some items of the batch, in every tensor of a nested state, such as a decoder's.

    Unlike `regroup_rows`, it is for states with one hypothesis per utterance.

    Args:
        state: nested tuples of tensors whose first axis is the batch.
        rows: (selected), indices into the first axis of every tensor.

    Returns:
        The state of the same type with the selected items.
    """
    return regroup_rows(state, rows, rows)


def regroup_rows(state: Any, rows: Tensor, utterances: Tensor | None) -> Any:
    """Select or re-order the hypotheses of a beam search in a nested state, such as a decoder's.

    Most tensors of the state have one row per hypothesis. Fields of a NamedTuple that are annotated
    `PerUtterance`, such as an attention's memory, have one row per utterance instead.

    Args:
        state: nested tuples of tensors whose first axis is the hypotheses of all utterances or, for
            `PerUtterance` fields, the utterances.
        rows: (selected), indices of hypotheses.
        utterances: (selected utterances), indices of utterances; None keeps all.

    Returns:
        The state of the same type with the selected hypotheses.
    """
    if isinstance(state, Tensor):
        return state.index_select(0, rows)
    kind: Any = type(state)
    parts = []
    for part, annotation in zip(state, _annotations(kind, len(state)), strict=True):
        if annotation == PerUtterance:
            part = part if utterances is None else part.index_select(0, utterances)
        elif annotation != Indexed:
            part = regroup_rows(part, rows, utterances)
        parts.append(part)
    return kind(*parts) if hasattr(state, "_fields") else tuple(parts)


def num_utterances(state: Any) -> int:
    """Return the number of utterances in the nested state of a beam search.

    It is the size of the first axis of the first field that is annotated `PerUtterance` (one row
    per utterance); other tensors have one row per hypothesis.

    Args:
        state: nested tuples of tensors, such as a decoder's state.

    Raises:
        ValueError: the state has no such field.
    """
    tuples: list[Any] = [state]
    for parts in tuples:  # the list grows
        kind: Any = type(parts)
        for part, annotation in zip(parts, _annotations(kind, len(parts)), strict=True):
            if annotation == PerUtterance:
                return len(part)
            if isinstance(part, tuple):
                tuples.append(part)
    raise ValueError("no tensor of this state has one row per utterance")


@functools.cache
def _annotations(kind: type, fields: int) -> tuple[Any, ...]:
    """Annotations of a tuple's fields."""
    hints = get_type_hints(kind, include_extras=True)
    names = getattr(kind, "_fields", ("",) * fields)
    return tuple(map(hints.get, names))
