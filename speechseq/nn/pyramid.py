"""Pyramid of Listen, Attend and Spell (Chan 2015, §3.1): halves time without losing frames."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.arguments import checked_lengths
from speechseq.errors import ConfigError
from speechseq.nn.masks import length_mask, zero_padding
from speechseq.nn.recurrent import BiLSTM
from speechseq.ops.dropout import dropout
from speechseq.shapes import Encoded, Lengths, Sequence

Joining = Literal["concatenate", "subsample", "max_pool"]


class Joined(NamedTuple):
    """Result of `join_frames`.

    Attributes:
        x: (batch, time, channels), joined frames.
        lengths: (batch), number of valid joined frames.
    """

    x: Tensor
    lengths: Tensor


def join_frames(x: Sequence, lengths: Lengths, join: int, how: Joining = "concatenate") -> Joined:
    """Join neighbouring frames to one; a row of n frames becomes ceil(n / k).

    Frame i of the result joins frames k·i … k·i + k - 1. The last group of a row is completed with
    zeros according to the row's own length, so the padding never affects the last valid frame (Chan
    2015, §3.1).

    Args:
        x: (batch, time, channels).
        lengths: (batch), number of valid frames of each row.
        join: k, number of frames to join, at least 1.
        how: "concatenate" puts the k frames one after another; "subsample" keeps the first of them;
            "max_pool" takes the maximum of each channel over the valid ones.

    Returns:
        Joined frames (batch, ceil(time / k), k * channels or channels), and their lengths (batch).
    """
    lengths = checked_lengths(lengths, x.shape)
    mask = length_mask(lengths, x.shape[1])
    fill = float("-inf") if how == "max_pool" else 0.0
    x = torch.where(mask.unsqueeze(-1), x, fill)
    x = F.pad(x, (0, 0, 0, -x.shape[1] % join), value=fill)
    groups = x.view(x.shape[0], -1, join, x.shape[2])
    fewer = torch.div(lengths + join - 1, join, rounding_mode="floor")
    if how == "concatenate":
        return Joined(groups.flatten(2), fewer)
    if how == "subsample":
        return Joined(groups[:, :, 0], fewer)
    return Joined(zero_padding(groups.amax(2), length_mask(fewer, groups.shape[1])), fewer)


class PyramidBiLSTM(nn.Module):
    """BiLSTM layers, of which the upper ones read joined frames (Chan 2015).

    Calling it maps frames (batch, time, input_dim) and lengths (batch) to a memory (batch,
    ceil(time / reduction), 2 * hidden) and its lengths. `base_layers` layers read every frame; then
    each of `layers` pyramid layers first joins `join` frames of the layer below. Padding changes no
    output.

    Args:
        input_dim: channels of the frames.
        hidden: units per direction.
        layers: number of pyramid layers.
        join: number of frames that a pyramid layer joins to one.
        base_layers: BiLSTM layers below the pyramid.
        joining: way of joining k frames: "concatenate" them; "subsample": keep the first;
            "max_pool": take the maximum of each channel.
        layer_norm: normalise the output of each layer.
        dropout: probability of dropping an output of each layer, in training.

    Attributes:
        output_dim: 2 * hidden.
        reduction: frames per position of the memory, join ** layers.

    Raises:
        ConfigError: no layer at all, or a join below 1.

    Examples:
        >>> pyramid = PyramidBiLSTM(40, hidden=16)
        >>> memory, lengths = pyramid(torch.randn(2, 21, 40), torch.tensor([21, 12]))
        >>> memory.shape, lengths.tolist()
        (torch.Size([2, 3, 32]), [3, 2])
    """

    def __init__(
        self,
        input_dim: int,
        hidden: int,
        layers: int = 3,
        join: int = 2,
        *,
        base_layers: int = 1,
        joining: Joining = "concatenate",
        layer_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if base_layers < 1 or layers < 0 or join < 1:
            raise ConfigError(
                f"pyramid: {base_layers} base layers, {layers} layers that join {join} frames",
                "base_layers and join start at 1, layers at 0",
            )
        self.join, self.joining, self.dropout = join, joining, dropout
        self.base_layers = base_layers
        self.output_dim, self.reduction = 2 * hidden, join**layers
        wide = self.output_dim * (join if joining == "concatenate" else 1)
        widths = [input_dim, *[self.output_dim] * (base_layers - 1), *[wide] * layers]
        self.layers = nn.ModuleList(BiLSTM(width, hidden) for width in widths)
        self.norms = nn.ModuleList(
            nn.LayerNorm(self.output_dim) if layer_norm else nn.Identity() for _ in widths
        )

    def forward(self, x: Sequence, lengths: Lengths, active: int | None = None) -> Encoded:
        """Encode frames to a shorter memory.

        Args:
            x: (batch, time, input_dim), features.
            lengths: (batch), number of valid frames of each row.
            active: number of layers that run, from the lowest; above them frames are pooled by
                their maximum, so that the memory keeps its shape while a network grows layer by
                layer. None runs all.

        Returns:
            The memory (batch, ceil(time / reduction), 2 * hidden), and its lengths (batch).
        """
        lengths = checked_lengths(lengths, x.shape)
        active = len(self.layers) if active is None else active
        for i, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            runs = i < active
            if i >= self.base_layers:
                x, lengths = join_frames(
                    x, lengths, self.join, self.joining if runs else "max_pool"
                )
            if runs:
                x = dropout(norm(layer(x, lengths)), self.dropout, self.training)
        return Encoded(zero_padding(x, length_mask(lengths, x.shape[1])), lengths)
