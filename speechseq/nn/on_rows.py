"""Runs modules of padded batches on unpadded rows, to avoid padding between layers."""

from typing import Any, Literal

from torch import nn

from speechseq.ops.plain import is_plain
from speechseq.ops.varlen import Rows, RowsOut, Varlen


def on_rows(module: nn.Module, x: Rows, rows: Varlen, by: Literal["mask", "lengths"]) -> RowsOut:
    """Apply a module to unpadded rows: (rows, channels) to (rows, outputs).

    The module's own `of_rows` is called; if the module is not plain (see `ops.plain`), the module
    is called on the padded batch instead.

    Args:
        by: second argument of the module's call on a padded batch, its mask or its lengths.
    """
    own: Any = module
    if is_plain(module):
        return own.of_rows(x, rows)
    return rows.unpad(module(rows.pad(x), rows.mask() if by == "mask" else rows.lengths))
