"""Runs modules of padded batches on unpadded rows, to avoid padding between layers."""

from typing import Any, Literal

from torch import nn

from speechseq.ops.plain import is_plain
from speechseq.ops.varlen import Rows, RowsOut, Varlen


def on_rows(module: nn.Module, x: Rows, rows: Varlen, by: Literal["mask", "lengths"]) -> RowsOut:
    """Apply a module to a batch without padding.

    The method `of_rows` of the module is called. If the module has a hook, or its `forward` was
    replaced, the batch is padded and the module itself is called, so that neither is bypassed.

    Args:
        module: module with a method `of_rows(x, rows)`, which computes the same as its call.
        x: (rows, channels), the valid positions of all utterances, one utterance after another.
        rows: layout of the batch, which tells the utterance of each row.
        by: second argument of the module's call on a padded batch: the mask (batch, time) or the
            lengths (batch).

    Returns:
        The module's output at the valid positions, (rows, outputs).
    """
    own: Any = module
    if is_plain(module):
        return own.of_rows(x, rows)
    return rows.unpad(module(rows.pad(x), rows.mask() if by == "mask" else rows.lengths))
