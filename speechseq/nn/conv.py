"""Convolutions over sequences that never see padding, batch norm that never counts it."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.nn.distinct_rows import put_rows, take_rows
from speechseq.nn.dropout import dropout
from speechseq.nn.masks import zero_padding
from speechseq.shapes import Hidden, Mask, Sequence

Activation = Literal["linear", "relu", "tanh"]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": torch.relu,
    "tanh": torch.tanh,
}


class MaskedBatchNorm(nn.Module):
    """Batch normalisation (Ioffe 2015) whose statistics are those of the valid positions alone.

    Parameters and buffers have nn.BatchNorm1d's names and meaning. In training, a batch gives the
    same result whatever its padding; in evaluation the running statistics are used.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Sequence, mask: Mask) -> Sequence:
        """(batch, time, channels) to the same shape; padding comes out as zeros."""
        every = x.flatten(0, 1)
        valid = mask.flatten().nonzero().squeeze(1)
        normed = self._normalise(take_rows(every, valid))
        return put_rows(normed, valid, len(every)).view_as(x)

    def _normalise(self, valid: Tensor) -> Tensor:
        """torch's fused kernel over valid positions (count, channels): nothing else is there."""
        if self.training:
            self.num_batches_tracked += 1
        # one position has no variance, which would make the running one NaN
        tracks = not self.training or len(valid) > 1
        return torch.batch_norm(
            valid,
            self.weight,
            self.bias,
            self.running_mean if tracks else None,
            self.running_var if tracks else None,
            self.training,
            self.momentum,
            self.eps,
            torch.backends.cudnn.enabled,
        )


class MaskedConv(nn.Module):
    """Convolution, batch norm, activation and dropout over (batch, time, channels), masked.

    Padding is zeroed before the convolution and after the norm, so an item alone equals its row in
    any padded batch. "Same" length for every kernel: an even one reaches one further to the right.

    Args:
        input_dim, output_dim: channels in and out.
        kernel: width in positions.
        activation: "linear", "relu" or "tanh".
        dropout: probability of dropping an output in training.
        norm_last: batch norm after the activation (Tacotron's public codes) instead of before it
            (Tacotron 2).
        bias: whether the convolution has a bias of its own.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        kernel: int,
        *,
        activation: Activation = "relu",
        dropout: float = 0.0,
        norm_last: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(input_dim, output_dim, kernel, bias=bias)
        self.norm = MaskedBatchNorm(output_dim)
        self.activation, self.dropout, self.norm_last = activation, dropout, norm_last
        self.reach = ((kernel - 1) // 2, kernel // 2)
        nn.init.xavier_uniform_(self.conv.weight, gain=nn.init.calculate_gain(activation))

    def forward(self, x: Sequence, mask: Mask) -> Hidden:
        """(batch, time, input_dim) to (batch, time, output_dim); padding comes out as zeros."""
        channels_first = F.pad(zero_padding(x, mask).transpose(1, 2), self.reach)
        x = self.conv(channels_first).transpose(1, 2)
        activate = ACTIVATIONS[self.activation]
        x = self.norm(activate(x), mask) if self.norm_last else activate(self.norm(x, mask))
        return dropout(x, self.dropout, self.training)
