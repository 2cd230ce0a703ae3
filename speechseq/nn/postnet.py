"""Tacotron 2's post-net: convolutions that predict a residual for the decoder's mel."""

from torch import nn

from speechseq.nn.conv import MaskedConv, in_turn
from speechseq.ops.varlen import Varlen
from speechseq.shapes import Mask, Mel


class Postnet(nn.Module):
    """Convolutions of Tacotron 2's post-net, which predict a residual of the mel (Shen 2018, §2.2).

    Calling it maps a mel (batch, frames, mels) and its mask (batch, frames) to a residual of the
    same shape, which the caller adds (`ConvPostnet`). Each convolution has batch norm, tanh and
    dropout; the last has no tanh.

    Args:
        mels: channels of input and output.
        layers: number of convolutions, at least 2.
        channels: channels between the convolutions.
        kernel: width in frames.
        dropout: probability of dropping an output, in training.
    """

    def __init__(
        self,
        mels: int,
        layers: int = 5,
        channels: int = 512,
        kernel: int = 5,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        widths = (mels, *[channels] * (layers - 1), mels)
        self.convs = nn.ModuleList(
            MaskedConv(
                widths[i],
                widths[i + 1],
                kernel,
                activation="tanh" if i < layers - 1 else "linear",
                dropout=dropout,
            )
            for i in range(layers)
        )

    @property
    def reach(self) -> tuple[int, int]:
        """Numbers of frames (before, after) around a frame that its residual depends on."""
        before, after = zip(*(conv.reach for conv in self.convs), strict=True)
        return sum(before), sum(after)

    def forward(self, mel: Mel, mask: Mask) -> Mel:
        """Compute the residual to add to the decoder's mel.

        Args:
            mel: (batch, frames, mels), the decoder's output.
            mask: (batch, frames), True for valid frames.

        Returns:
            The residual (batch, frames, mels), 0 in the padding.
        """
        rows = Varlen.of(mask)
        return rows.pad(in_turn(self.convs, rows.unpad(mel), rows))
