"""Bidirectional recurrent layers in which padding changes no output, without packed sequences."""

import torch
from torch import nn

from speechseq.arguments import checked_lengths
from speechseq.nn.masks import length_mask, reverse_within, zero_padding
from speechseq.ops.plain import is_plain_rnn
from speechseq.ops.rnn import RUN, Kind, Weights, supported
from speechseq.ops.varlen import Rows, RowsOut, Varlen
from speechseq.shapes import Hidden, Lengths, Sequence


class _Bidirectional(nn.Module):
    """Two unidirectional layers, the second over rows reversed within their own length.

    Padding then comes last in both directions, so it cannot affect a valid position. Packed
    sequences give the same result, but their backward pass is quadratic in time on a CPU.
    """

    kind: Kind
    ahead: nn.RNNBase
    back: nn.RNNBase

    def forward(self, x: Sequence, lengths: Lengths) -> Hidden:
        """(batch, time, input_dim) to (batch, time, 2 * hidden); outputs in the padding are 0."""
        lengths = checked_lengths(lengths, x.shape)
        rows = Varlen.of(length_mask(lengths, x.shape[1]))
        return rows.pad(self.of_rows(rows.unpad(x), rows))

    def of_rows(self, x: Rows, rows: Varlen) -> RowsOut:
        """(rows, input_dim) to (rows, 2 * hidden)."""
        layers = self.ahead, self.back
        if all(map(is_plain_rnn, layers)):
            directions = [Weights(*layer.all_weights[0]) for layer in layers]
            if supported(self.kind, x, directions[0]):
                return RUN[self.kind](x, rows, directions)
        return rows.unpad(self.plain(rows.pad(x), rows.lengths))

    def plain(self, x: Sequence, lengths: Lengths) -> Hidden:
        """Reference: the same by torch operations, for every device and dtype."""
        lengths = checked_lengths(lengths, x.shape)
        mask = length_mask(lengths, x.shape[1])
        x = zero_padding(x, mask)
        ahead, _ = self.ahead(x)
        back, _ = self.back(reverse_within(x, lengths))
        return zero_padding(torch.cat([ahead, reverse_within(back, lengths)], dim=-1), mask)


class BiLSTM(_Bidirectional):
    """Bidirectional LSTM for padded batches; padding has no effect on the result.

    Calling it with x (batch, time, input_dim) and lengths (batch) returns (batch, time, 2 *
    hidden), 0 in the padding.

    Args:
        input_dim: channels of the input.
        hidden: units in each direction.
    """

    kind = "lstm"

    def __init__(self, input_dim: int, hidden: int) -> None:
        super().__init__()
        self.ahead = nn.LSTM(input_dim, hidden, batch_first=True)
        self.back = nn.LSTM(input_dim, hidden, batch_first=True)


class BiGRU(_Bidirectional):
    """Bidirectional GRU for padded batches; padding has no effect on the result.

    Calling it with x (batch, time, input_dim) and lengths (batch) returns (batch, time, 2 *
    hidden), 0 in the padding.

    Args:
        input_dim: channels of the input.
        hidden: units in each direction.
    """

    kind = "gru"

    def __init__(self, input_dim: int, hidden: int) -> None:
        super().__init__()
        self.ahead = nn.GRU(input_dim, hidden, batch_first=True)
        self.back = nn.GRU(input_dim, hidden, batch_first=True)
