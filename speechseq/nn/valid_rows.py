"""The valid positions of a batch as rows one under the other, without the padding between them."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from speechseq.nn.distinct_rows import put_rows, take_rows
from speechseq.shapes import Mask, Sequence

Rows = Float[Tensor, "rows channels"]
Made = Float[Tensor, "rows outputs"]


class ValidRows(NamedTuple):
    """Where the rows stand in a padded batch of this shape, (batch, time).

    positions: of each row, in the flattened batch; item: the utterance that it belongs to;
    place: in all utterances end to end, each up to its last valid position; total: of those
    positions.
    """

    shape: tuple[int, int]
    positions: Int[Tensor, " rows"]
    item: Int[Tensor, " rows"]
    place: Int[Tensor, " rows"]
    total: int

    @staticmethod
    def of(mask: Mask) -> "ValidRows":
        """Of a mask, which may have holes; a convolution reads zeros there."""
        batch, time = mask.shape
        positions = mask.flatten().nonzero().squeeze(1)
        item = positions // time
        ends = (mask * torch.arange(1, time + 1, device=mask.device)).amax(1)
        starts = ends.cumsum(0) - ends
        place = starts[item] + positions % time
        return ValidRows((batch, time), positions, item, place, int(ends.sum()))

    def take(self, x: Sequence) -> Rows:
        """(batch, time, channels) to (rows, channels)."""
        x = x.flatten(0, 1)
        return x if len(x) == len(self.positions) else take_rows(x, self.positions)

    def put(self, rows: Rows) -> Sequence:
        """(rows, channels) to (batch, time, channels), zeros in the padding."""
        size = self.shape[0] * self.shape[1]
        if len(rows) < size:
            rows = put_rows(rows, self.positions, size)
        return rows.unflatten(0, self.shape)

    def followed(self) -> Bool[Tensor, " rows"]:
        """Whether the position right behind each row is valid, and of the same utterance."""
        next_item, next_place = (torch.cat([x[1:], x[:0].new_full((1,), -1)]) for x in self[2:4])
        return (next_item == self.item) & (next_place == self.place + 1)

    def apart(self, gap: int) -> tuple[Int[Tensor, " rows"], int]:
        """Each row's place, and how many places there are, with `gap` empty ones before the first
        utterance, between each two, and behind the last."""
        return self.place + gap * (self.item + 1), self.total + gap * (self.shape[0] + 1)
