"""Rows of a state: what a batch that shrinks, or a beam that is re-ordered, takes along."""

from typing import Any

from torch import Tensor


def select_rows(state: Any, rows: Tensor) -> Any:
    """The given rows of every tensor in a nested tuple of batch-first tensors."""
    if isinstance(state, Tensor):
        return state[rows]
    parts = [select_rows(part, rows) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
