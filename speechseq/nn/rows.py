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


def select_rows(state: Any, rows: Tensor) -> Any:
    """The given rows of every tensor in a nested tuple of batch-first tensors; k is 1."""
    return regroup_rows(state, rows, rows)


def regroup_rows(state: Any, rows: Tensor, utterances: Tensor | None) -> Any:
    """The given rows of a nested tuple, and of what stands the given utterances, None for all."""
    if isinstance(state, Tensor):
        return state.index_select(0, rows)
    kind: Any = type(state)
    parts = []
    for part, stands in zip(state, _standing(kind, len(state)), strict=True):
        if not stands:
            part = regroup_rows(part, rows, utterances)
        elif utterances is not None:
            part = part.index_select(0, utterances)
        parts.append(part)
    return kind(*parts) if hasattr(state, "_fields") else tuple(parts)


def by_utterance(x: Tensor, utterances: int) -> Tensor:
    """(rows, …) to (utterances, k, …)."""
    return x.view(utterances, -1, *x.shape[1:])


@functools.cache
def _standing(kind: type, fields: int) -> tuple[bool, ...]:
    """Which fields of a tuple stand."""
    hints = get_type_hints(kind, include_extras=True)
    names = getattr(kind, "_fields", ("",) * fields)
    return tuple(hints.get(name) == Standing for name in names)
