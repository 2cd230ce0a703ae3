"""What a function of autograd had kept, to be used up where nobody goes back over it again."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

_IS_KEPT = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True)


class Saved(NamedTuple):
    """What was saved; in the `last` pass nobody reads it again, so it may be written over, and
    each tensor's memory is free as soon as the function lets go of it."""

    tensors: tuple[Tensor, ...]
    last: bool


def saved(ctx: Any) -> Saved:
    """What a backward pass finds; it is not the last while `retain_graph` keeps the graph."""
    tensors, last = ctx.saved_tensors, not _IS_KEPT()
    if last:
        ctx.maybe_clear_saved_tensors()
    return Saved(tensors, last)
