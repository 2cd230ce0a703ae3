"""Some rows of a matrix and back, none taken twice: so gradients need no sums, unlike torch's."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from speechseq.eager import has_memory

Index = Int[Tensor, " places"]
Rows = Float[Tensor, "rows channels"]
Taken = Float[Tensor, "places channels"]


def take_rows(x: Rows, index: Index) -> Taken:
    """The rows of an index in which no number stands twice."""
    return _Take.apply(x, index) if has_memory(x) else x.index_select(0, index)


def put_rows(x: Taken, index: Index, rows: int) -> Rows:
    """Rows to their places, by an index in which none stands twice, among zeros."""
    if not has_memory(x):
        return x.new_zeros(rows, x.shape[1]).index_copy(0, index, x)
    return _Put.apply(x, index, rows)


class _Take(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor) -> Tensor:
        ctx.index, ctx.rows = index, len(x)
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return put_rows(gradients[0], ctx.index, ctx.rows), None


class _Put(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, rows: int) -> Tensor:
        ctx.index = index
        return x.new_zeros(rows, x.shape[1]).index_copy_(0, index, x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return take_rows(gradients[0], ctx.index), None, None
