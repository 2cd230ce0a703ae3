"""CBHG: convolution bank, highway network and bidirectional GRU."""

from collections.abc import Sequence as Series

import torch
from torch import nn

from speechseq.arguments import checked_lengths
from speechseq.nn.conv import MaskedConv, in_turn
from speechseq.nn.highway import Highway
from speechseq.nn.masks import length_mask
from speechseq.nn.on_rows import on_rows
from speechseq.nn.recurrent import BiGRU
from speechseq.ops.pointwise import max_pool_pairs
from speechseq.ops.varlen import Rows, RowsOut, Varlen
from speechseq.shapes import Hidden, Lengths, Sequence


class CBHG(nn.Module):
    """CBHG, the encoder of Tacotron for text and, as its post-net, for spectrograms (Wang 2017).

    It has a bank of convolutions of widths 1 … bank, max-pooling, two convolutions of width 3 with
    a residual connection, highway layers and a bidirectional GRU (figure 2 and table 1). Calling it
    maps x (batch, time, input_dim) and lengths (batch) to (batch, time, 2 * gru). Padding changes
    no output.

    Args:
        input_dim: channels of the input.
        bank: width of the widest convolution in the bank.
        channels: channels of each convolution in the bank, and of the highway layers.
        projections: channels of the two convolutions of width 3; the last must equal `input_dim`,
            because the input is added to its output.
        highways: number of highway layers.
        gru: units of the GRU in each direction.

    Raises:
        ValueError: the last projection does not equal `input_dim`.

    Examples:
        >>> cbhg = CBHG(128, bank=8, gru=64)
        >>> y = cbhg(torch.randn(2, 20, 128), torch.tensor([20, 13]))
        >>> y.shape, int(y[1, 13:].count_nonzero())
        (torch.Size([2, 20, 128]), 0)
    """

    def __init__(
        self,
        input_dim: int,
        bank: int = 16,
        channels: int = 128,
        projections: Series[int] = (128, 128),
        highways: int = 4,
        gru: int = 128,
    ) -> None:
        super().__init__()
        if projections[-1] != input_dim:
            raise ValueError(
                f"last projection {projections[-1]} cannot be added to an input of {input_dim}"
            )
        self.bank = nn.ModuleList(
            MaskedConv(input_dim, channels, width, norm_last=True, bias=False)
            for width in range(1, bank + 1)
        )
        widths = (bank * channels, *projections)
        last = len(projections) - 1
        self.projections = nn.ModuleList(
            MaskedConv(a, b, 3, activation="linear" if i == last else "relu", norm_last=True)
            for i, (a, b) in enumerate(zip(widths, projections, strict=False))
        )
        same = input_dim == channels
        self.widen = nn.Identity() if same else nn.Linear(input_dim, channels, bias=False)
        self.highways = nn.ModuleList(Highway(channels) for _ in range(highways))
        self.gru = BiGRU(channels, gru)
        self.output_dim = 2 * gru

    def forward(self, x: Sequence, lengths: Lengths) -> Hidden:
        """Encode a padded batch of sequences.

        Args:
            x: (batch, time, input_dim).
            lengths: (batch), number of valid positions of each row.

        Returns:
            Hidden states (batch, time, 2 * gru), 0 in the padding.
        """
        lengths = checked_lengths(lengths, x.shape)
        rows = Varlen.of(length_mask(lengths, x.shape[1]))
        return rows.pad(self.of_rows(rows.unpad(x), rows))

    def of_rows(self, x: Rows, rows: Varlen) -> RowsOut:
        """Encode a batch without padding.

        Args:
            x: (rows, input_dim), the valid positions of all utterances, one utterance after
                another.
            rows: layout of the batch, which tells the utterance of each row.

        Returns:
            Hidden states (rows, 2 * gru).
        """
        y = torch.cat([in_turn([conv], x, rows) for conv in self.bank], dim=1)
        y = in_turn(self.projections, pool_pairs(y, rows), rows)
        y = self.widen(x + y)
        for highway in self.highways:
            y = highway(y)
        return on_rows(self.gru, y, rows, "lengths")


def pool_pairs(x: Rows, rows: Varlen) -> Rows:
    """Take the maximum of each position and the next one, within each utterance.

    The last position of an utterance is unchanged.

    Args:
        x: (rows, channels), the valid positions of all utterances, one utterance after another.
        rows: layout of the batch, which tells the utterance of each row.

    Returns:
        The maxima, (rows, channels).
    """
    return max_pool_pairs(x, rows.has_next())
