"""Rows of a state: what a batch that shrinks, or a beam that is re-ordered, takes along.

A batch has a row for each hypothesis, and those of an utterance stand side by side: with k of them,
row i belongs to utterance i // k. Outside of a beam search k is 1.
"""

import functools
from typing import Annotated, Any, get_type_hints

from torch import Tensor

# the annotation of a NamedTuple's field that holds one row an utterance, whatever k is: what all
# hypotheses read and no step changes, such as a memory and its keys. Other fields have k.
Standing = Annotated[Tensor, "one row an utterance"]

# of a field whose rows another one numbers: it is left as it is, and the numbers are re-ordered
Stored = Annotated[Tensor, "rows that another field numbers"]


def select_rows(state: Any, rows: Tensor) -> Any:
    """The given rows of every tensor in a nested tuple of batch-first tensors; k is 1."""
    return regroup_rows(state, rows, rows)


def regroup_rows(state: Any, rows: Tensor, utterances: Tensor | None) -> Any:
    """The given rows of a nested tuple, and of what stands the given utterances, None for all."""
    if isinstance(state, Tensor):
        return state.index_select(0, rows)
    kind: Any = type(state)
    parts = []
    for part, held in zip(state, _held(kind, len(state)), strict=True):
        if held == Standing:
            part = part if utterances is None else part.index_select(0, utterances)
        elif held != Stored:
            part = regroup_rows(part, rows, utterances)
        parts.append(part)
    return kind(*parts) if hasattr(state, "_fields") else tuple(parts)


def standing(state: Any) -> int:
    """How many utterances a nested tuple is about: the rows of the first that stands for one each.

    Raises:
        ValueError: nothing in it stands.
    """
    tuples: list[Any] = [state]
    for one in tuples:  # which grows
        kind: Any = type(one)
        for part, held in zip(one, _held(kind, len(one)), strict=True):
            if held == Standing:
                return len(part)
            if isinstance(part, tuple):
                tuples.append(part)
    raise ValueError("nothing in this state has one row an utterance")


@functools.cache
def _held(kind: type, fields: int) -> tuple[Any, ...]:
    """How a tuple's fields are annotated."""
    hints = get_type_hints(kind, include_extras=True)
    names = getattr(kind, "_fields", ("",) * fields)
    return tuple(map(hints.get, names))
