"""Saved tensors of a custom autograd Function, and whether a backward pass may overwrite them."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

_KEEPS_GRAPH = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True)


class SavedTensors(NamedTuple):
    """Result of `saved_tensors`, which the backward pass of a custom autograd Function calls.

    Attributes:
        tensors: the saved tensors.
        may_overwrite: True if no later backward pass reads the tensors; the memory of each is then
            freed as soon as the Function deletes its reference.
    """

    tensors: tuple[Tensor, ...]
    may_overwrite: bool


def saved_tensors(ctx: Any) -> SavedTensors:
    """Return the saved tensors of a custom autograd Function, in its backward pass.

    With `retain_graph`, a later backward pass reads them again: they must then not be overwritten.

    Args:
        ctx: context that the Function's `backward` gets.

    Returns:
        The tensors, and True if they may be overwritten.
    """
    tensors, may_overwrite = ctx.saved_tensors, not _KEEPS_GRAPH()
    if may_overwrite:
        ctx.maybe_clear_saved_tensors()
    return SavedTensors(tensors, may_overwrite)
