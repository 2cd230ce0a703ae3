"""Two-dimensional convolutions of stride 2 over time and frequency; padding changes no output."""

import itertools
from collections.abc import Sequence as Series

import torch
from torch import nn

from speechseq.arguments import checked_lengths
from speechseq.nn.conv import MaskedBatchNorm
from speechseq.nn.masks import length_mask, zero_padding
from speechseq.shapes import Encoded, Lengths, Sequence


class ConvFront(nn.Module):
    """Masked 3 × 3 convolutions of stride 2 over time and features, with batch norm and ReLU.

    Each layer halves frames and features: n become ceil(n / 2).

    Args:
        features: number of features of a frame, such as mel bands.
        channels: output channels of each layer.
        norm_bands: True to normalise each band of a channel separately; False to normalise a
            channel over all its bands, as nn.BatchNorm2d does.

    Attributes:
        output_dim: width of the output: channels of the last layer times its remaining bands.
        reduction: frames per output position, 2 ** layers.
    """

    def __init__(self, features: int, channels: Series[int], *, norm_bands: bool = True) -> None:
        super().__init__()
        self.norm_bands = norm_bands
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise((1, *channels))
        )
        self.reduction, self.output_dim, norms = 2 ** len(channels), features, []
        for width in channels:
            features = -(-features // 2)
            self.output_dim = width * features
            norms.append(MaskedBatchNorm(self.output_dim if norm_bands else width))
        self.norms = nn.ModuleList(norms)

    def forward(self, x: Sequence, lengths: Lengths) -> Encoded:
        """Map frames to a shorter memory.

        Args:
            x: (batch, time, features).
            lengths: (batch), number of valid frames of each row.

        Returns:
            The memory (batch, ceil(time / reduction), output_dim), and its lengths (batch), which
            are ceil(lengths / reduction).
        """
        lengths = checked_lengths(lengths, x.shape)
        image = zero_padding(x, length_mask(lengths, x.shape[1])).unsqueeze(1)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            image = conv(image)
            lengths = torch.div(lengths + 1, 2, rounding_mode="floor")
            batch, channels, time, bands = image.shape
            mask = length_mask(lengths, time)
            if self.norm_bands:
                flat = image.transpose(1, 2).reshape(batch, time, channels * bands)
                flat = torch.relu(norm(flat, mask))
                image = flat.view(batch, time, channels, bands).transpose(1, 2)
            else:
                flat = image.flatten(2).transpose(1, 2)  # (batch, time * bands, channels)
                flat = torch.relu(norm(flat, mask.repeat_interleave(bands, 1)))
                image = flat.transpose(1, 2).view(batch, channels, time, bands)
        return Encoded(image.transpose(1, 2).flatten(2), lengths)
