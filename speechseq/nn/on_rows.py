"""Runs modules of padded batches on the valid rows alone, one behind the other without padding."""

from typing import Any, Literal

from torch import nn

from speechseq.ops.plain import is_plain
from speechseq.ops.varlen import Rows, RowsOut, Varlen


def on_rows(module: nn.Module, x: Rows, rows: Varlen, by: Literal["mask", "lengths"]) -> RowsOut:
    """(rows, channels) to (rows, outputs): what `module(padded, mask or lengths)` makes of them.

    By the module's own `of_rows`; where it is not plain (see `nn.plain`), it is called on the
    padded batch.

    Args:
        by: the second argument of the module's call.
    """
    own: Any = module
    if is_plain(module):
        return own.of_rows(x, rows)
    return rows.unpad(module(rows.pad(x), rows.mask() if by == "mask" else rows.lengths))
