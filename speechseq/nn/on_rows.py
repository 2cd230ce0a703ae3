"""Runs modules of padded batches on unpadded rows, to avoid padding between layers."""

from typing import Any, Literal

from torch import nn

from speechseq.ops.plain import is_plain
from speechseq.ops.varlen import Rows, RowsOut, Varlen


def on_rows(module: nn.Module, x: Rows, rows: Varlen, by: Literal["mask", "lengths"]) -> RowsOut:
    """Apply `module(padded, mask or lengths)` to rows: (rows, channels) to (rows, outputs).

    Calls the module's own `of_rows`; if the module is not plain (see `ops.plain`), calls it on the
    padded batch.

    Args:
        by: the second argument of the module's call.
    """
    own: Any = module
    if is_plain(module):
        return own.of_rows(x, rows)
    return rows.unpad(module(rows.pad(x), rows.mask() if by == "mask" else rows.lengths))
