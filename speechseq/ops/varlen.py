"""The valid positions of a batch as rows one under the other, without the padding between them."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from speechseq.eager import has_memory, is_eager
from speechseq.shapes import Mask, Sequence

Rows = Float[Tensor, "rows channels"]
Made = Float[Tensor, "rows outputs"]
Index = Int[Tensor, " places"]
Taken = Float[Tensor, "places channels"]


class ValidRows(NamedTuple):
    """Where the rows stand in a padded batch of this shape, (batch, time).

    positions: of each row, in the flattened batch; item: the utterance that it belongs to; lengths
    (batch): rows of each utterance; whole: known to have no holes between them (a tracer could not
    record the look at the mask that it takes to know).
    """

    shape: tuple[int, int]
    positions: Int[Tensor, " rows"]
    item: Int[Tensor, " rows"]
    lengths: Int[Tensor, " batch"]
    whole: bool

    @staticmethod
    def of(mask: Mask) -> "ValidRows":
        """Of any mask; a convolution reads zeros in its holes."""
        batch, time = mask.shape
        positions, lengths = mask.flatten().nonzero().squeeze(1), mask.sum(1)
        packed = torch.arange(time, device=mask.device) < lengths[:, None]
        whole = is_eager() and bool((mask == packed).all())
        return ValidRows((batch, time), positions, positions // time, lengths, whole)

    def take(self, x: Sequence) -> Rows:
        """(batch, time, channels) to (rows, channels)."""
        x = x.flatten(0, 1)
        full = is_eager() and len(x) == len(self.positions)  # a trace has to fit other lengths
        return x if full else take_rows(x, self.positions)

    def put(self, rows: Rows) -> Sequence:
        """(rows, channels) to (batch, time, channels), zeros in the padding."""
        size = self.shape[0] * self.shape[1]
        if not is_eager() or len(rows) < size:
            rows = put_rows(rows, self.positions, size)
        return rows.unflatten(0, self.shape)

    def mask(self) -> Mask:
        """The mask that they were made of."""
        size = self.shape[0] * self.shape[1]
        flat = torch.zeros(size, dtype=torch.bool, device=self.positions.device)
        return flat.index_fill(0, self.positions, True).view(self.shape)

    def followed(self) -> Bool[Tensor, " rows"]:
        """Whether the position right behind each row is valid, and of the same utterance."""
        behind = self.positions + 1
        following = torch.cat([self.positions[1:], self.positions[:0].new_full((1,), -1)])
        return (following == behind) & (behind % self.shape[1] != 0)


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
