"""Runs modules of padded batches on unpadded rows, to avoid padding between layers."""

from typing import Any, Literal

from torch import nn

from speechseq.ops.plain import is_plain
from speechseq.ops.varlen import Rows, RowsOut, Varlen


def on_rows(module: nn.Module, x: Rows, rows: Varlen, by: Literal["mask", "lengths"]) -> RowsOut:
    """Apply a module to a batch without padding: x (rows, channels) to (rows, outputs).

    The module's own `of_rows` is called; if the module is not plain (see `ops.plain`), for instance
    because it has a hook, the module is called on the padded batch instead.

    Args:
        module: module with `of_rows(x, rows)` and a call on padded batches.
        x: valid positions of all utterances, one after another.
        rows: the `Varlen` that knows which row belongs to which utterance.
        by: second argument of the module's call on a padded batch, its mask or its lengths.
    """
    own: Any = module
    if is_plain(module):
        return own.of_rows(x, rows)
    return rows.unpad(module(rows.pad(x), rows.mask() if by == "mask" else rows.lengths))
