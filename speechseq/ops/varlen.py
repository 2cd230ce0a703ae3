"""Unpadded batches: the valid positions of all utterances as the rows of one matrix."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from speechseq.eager import has_memory, is_eager
from speechseq.shapes import Mask, Sequence

Rows = Float[Tensor, "rows channels"]
RowsOut = Float[Tensor, "rows outputs"]
Index = Int[Tensor, " places"]
Gathered = Float[Tensor, "places channels"]


class Varlen(NamedTuple):
    """Layout of a batch without padding: its rows are the valid positions, utterance by utterance.

    `Varlen.of(mask)` builds it from a mask (batch, time). `unpad` maps a padded tensor (batch,
    time, channels) to (rows, channels), where `rows` is the number of valid positions of the whole
    batch; `pad` is the inverse.

    Attributes:
        shape: (batch, time) of the padded batch.
        positions: (rows), index of each row in the flattened padded batch.
        item: (rows), index in the batch of the utterance that each row belongs to.
        lengths: (batch), number of rows of each utterance.
        whole: True if the valid positions of every utterance are known to be contiguous; False
            while torch traces a graph, which cannot record a branch on the mask.
    """

    shape: tuple[int, int]
    positions: Int[Tensor, " rows"]
    item: Int[Tensor, " rows"]
    lengths: Int[Tensor, " batch"]
    whole: bool

    @staticmethod
    def of(mask: Mask) -> "Varlen":
        """Build the layout of a padded batch.

        Args:
            mask: (batch, time) bool, True for valid positions, which may have gaps.
        """
        batch, time = mask.shape
        positions, lengths = mask.flatten().nonzero().squeeze(1), mask.sum(1)
        packed = torch.arange(time, device=mask.device) < lengths[:, None]
        whole = is_eager() and bool((mask == packed).all())
        return Varlen((batch, time), positions, positions // time, lengths, whole)

    def unpad(self, x: Sequence) -> Rows:
        """Gather the valid positions of a padded tensor.

        Args:
            x: (batch, time, channels).

        Returns:
            The valid positions, utterance by utterance, (rows, channels).
        """
        x = x.flatten(0, 1)
        full = is_eager() and len(x) == len(self.positions)  # a trace must work for other lengths
        return x if full else gather_rows(x, self.positions)

    def pad(self, rows: Rows) -> Sequence:
        """Scatter rows to a padded batch; the inverse of `unpad`.

        Args:
            rows: (rows, channels), the valid positions, utterance by utterance.

        Returns:
            A tensor (batch, time, channels), 0 in the padding.
        """
        size = self.shape[0] * self.shape[1]
        if not is_eager() or len(rows) < size:
            rows = scatter_rows(rows, self.positions, size)
        return rows.unflatten(0, self.shape)

    def mask(self) -> Mask:
        """Return the mask (batch, time) that the layout was built from."""
        size = self.shape[0] * self.shape[1]
        flat = torch.zeros(size, dtype=torch.bool, device=self.positions.device)
        return flat.index_fill(0, self.positions, True).view(self.shape)

    def has_next(self) -> Bool[Tensor, " rows"]:
        """Tell for each row whether the next row is the next position of the same utterance.

        Returns:
            (rows) bool.
        """
        behind = self.positions + 1
        following = torch.cat([self.positions[1:], self.positions[:0].new_full((1,), -1)])
        return (following == behind) & (behind % self.shape[1] != 0)


def gather_rows(x: Rows, index: Index) -> Gathered:
    """Select rows of a matrix by an index without repetition: x[index].

    Because no row is taken twice, the backward pass writes gradients without adding them up.

    Args:
        x: (rows, channels).
        index: (places), distinct indices of rows of x.

    Returns:
        The selected rows, (places, channels).
    """
    return _Take.apply(x, index) if has_memory(x) else x.index_select(0, index)


def scatter_rows(x: Gathered, index: Index, rows: int) -> Rows:
    """Write rows into a matrix of zeros; the inverse (adjoint) of `gather_rows`.

    Args:
        x: (places, channels), the rows to write.
        index: (places), distinct indices of rows of the result.
        rows: number of rows of the result.

    Returns:
        A matrix (rows, channels) with x in the rows `index`, zeros elsewhere.
    """
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
        return scatter_rows(gradients[0], ctx.index, ctx.rows), None


class _Put(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, rows: int) -> Tensor:
        ctx.index = index
        return x.new_zeros(rows, x.shape[1]).index_copy_(0, index, x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gather_rows(gradients[0], ctx.index), None, None
