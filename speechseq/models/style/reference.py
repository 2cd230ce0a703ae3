"""Reference encoder: summarises a mel of any length in one vector, to infer a style from."""

import dataclasses
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from speechseq.arguments import checked_lengths
from speechseq.config import Config
from speechseq.nn.conv2d import ConvFront
from speechseq.ranges import Items, Width
from speechseq.shapes import Lengths, Mel

Summary = Float[Tensor, "batch summary_dim"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReferenceConfig(Config):
    """Settings of the reference encoder; the defaults are those of Skerry-Ryan (2018, §3.2).

    Attributes:
        filters: channels of each 3 × 3 convolution of stride 2.
        gru: units of the GRU, and width of the summary.
    """

    kind: ClassVar[str] = "conv_gru"
    filters: Annotated[tuple[Width, ...], Items(1, 16)] = (32, 32, 64, 64, 128, 128)
    gru: Width = 128

    def build(self, mels: int) -> "Reference":
        """Build the encoder for mels of `mels` bands."""
        return Reference(mels, self)


class Reference(nn.Module):
    """Reference encoder: summarises a mel of any length in one vector (Skerry-Ryan 2018, §3.2).

    `ReferenceConfig().build(mels)` makes it. Calling it maps mels (batch, frames, mels) and their
    lengths (batch) to summaries (batch, summary_dim): masked convolutions with batch norm and ReLU,
    then a GRU, whose state at the last valid frame is the summary. A reference may be as short as
    one frame: each convolution maps n frames to ceil(n / 2).

    Args:
        mels: number of mel bands.
        config: a `ReferenceConfig`.
    """

    def __init__(self, mels: int, config: ReferenceConfig) -> None:
        super().__init__()
        self.convs = ConvFront(mels, config.filters, norm_bands=False)
        self.gru = nn.GRU(self.convs.output_dim, config.gru, batch_first=True)
        self.summary_dim = config.gru

    def forward(self, mel: Mel, lengths: Lengths) -> Summary:
        """Summarise mels in one vector each.

        Args:
            mel: (batch, frames, mels), references on the network's scale.
            lengths: (batch), number of valid frames.

        Returns:
            Summaries (batch, summary_dim).

        Raises:
            DataError: a length below 1 or beyond the frames.
        """
        lengths = checked_lengths(lengths, mel.shape, "reference_lengths", least=1)
        x, short = self.convs(mel, lengths)
        states, _ = self.gru(x)  # one direction: padding follows the last valid position
        return states[torch.arange(len(states), device=states.device), short - 1]
