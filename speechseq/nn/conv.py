"""Convolutions and batch norm over sequences; padding changes no output."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.eager import is_eager
from speechseq.nn.on_rows import on_rows
from speechseq.ops.batch_norm import Activation, batch_norm_act_dropout, supported
from speechseq.ops.conv import convolve
from speechseq.ops.dropout import dropout
from speechseq.ops.plain import is_plain, is_plain_conv
from speechseq.ops.varlen import Rows, RowsOut, Varlen
from speechseq.shapes import Hidden, Mask, Sequence

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": torch.relu,
    "tanh": torch.tanh,
}


class MaskedBatchNorm(nn.Module):
    """Batch normalisation (Ioffe 2015) with statistics of the valid positions only.

    Calling it with x (batch, time, channels) and mask (batch, time) returns the same shape, 0 in
    the padding. Parameters and buffers are named as in nn.BatchNorm1d and mean the same. In
    training, the result does not depend on the padding; in evaluation the running statistics are
    used.

    Args:
        channels: size of the last axis.
        eps: added to the variance.
        momentum: weight of a batch in the running statistics.
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
        """Normalise each channel of a padded batch.

        Args:
            x: (batch, time, channels).
            mask: (batch, time), True for valid positions.

        Returns:
            Normalised values (batch, time, channels), 0 in the padding.
        """
        rows = Varlen.of(mask)
        return rows.pad(self.of_rows(rows.unpad(x)))

    def of_rows(
        self,
        x: Rows,
        activation: Activation = "linear",
        norm_last: bool = False,
        dropout_rate: float = 0.0,
    ) -> Rows:
        """Normalise a batch without padding, and apply an activation and dropout.

        Args:
            x: (rows, channels), the valid positions of all utterances, one after another.
            activation: "linear", "relu" or "tanh".
            norm_last: apply the activation before the normalisation instead of after it.
            dropout_rate: probability of dropping an output, in training.

        Returns:
            The outputs (rows, channels).
        """
        if self.training and len(x) > 1 and supported(x, self.weight):
            return self._in_one(x, activation, norm_last, dropout_rate)
        activate = ACTIVATIONS[activation]
        x = self._by_torch(activate(x)) if norm_last else activate(self._by_torch(x))
        return dropout(x, dropout_rate, self.training)

    def _in_one(self, x: Rows, activation: Activation, norm_last: bool, rate: float) -> Rows:
        arguments = (self.weight, self.bias, self.eps, activation, norm_last, rate)
        output, mean, variance = batch_norm_act_dropout(x, *arguments)
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (len(x) / (len(x) - 1)), self.momentum)
        return output

    def _by_torch(self, valid: Rows) -> Rows:
        if self.training:
            self.num_batches_tracked += 1
        elif not is_eager():  # torch's own needs the number of rows, unknown in an export
            scale = self.weight * torch.rsqrt(self.running_var + self.eps)
            return (valid - self.running_mean) * scale + self.bias
        # a single position has no variance, so the running one would become NaN
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
    """Masked convolution, batch norm, activation and dropout.

    Calling it maps x (batch, time, input_dim) and mask (batch, time) to (batch, time, output_dim).
    All operations act on the valid positions only, so the output for an item is the same alone and
    in any padded batch. The number of positions stays the same for every kernel; an even kernel
    extends one position further to the right.

    Args:
        input_dim: channels of the input.
        output_dim: channels of the output.
        kernel: width in positions.
        activation: "linear", "relu" or "tanh".
        dropout: probability of dropping an output in training.
        norm_last: batch norm after the activation (Tacotron's public codes) instead of before it
            (Tacotron 2).
        bias: True if the convolution has a bias.
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
        self.reach = ((kernel - 1) // 2, kernel // 2)
        self.norm = MaskedBatchNorm(output_dim)
        self.activation, self.dropout, self.norm_last = activation, dropout, norm_last
        nn.init.xavier_uniform_(self.conv.weight, gain=nn.init.calculate_gain(activation))

    def forward(self, x: Sequence, mask: Mask) -> Hidden:
        """Convolve a padded batch.

        Args:
            x: (batch, time, input_dim).
            mask: (batch, time), True for valid positions.

        Returns:
            The outputs (batch, time, output_dim), 0 in the padding.
        """
        rows = Varlen.of(mask)
        return rows.pad(self.of_rows(rows.unpad(x), rows))

    def of_rows(self, x: Rows, rows: Varlen) -> RowsOut:
        """Convolve along each utterance of a batch without padding.

        Args:
            x: (rows, input_dim), the valid positions of all utterances, one utterance after
                another.
            rows: layout of the batch, which tells the utterance of each row.

        Returns:
            The outputs (rows, output_dim).
        """
        x = self._convolved(x, rows)
        if is_plain(self.norm, MaskedBatchNorm):
            return self.norm.of_rows(x, self.activation, self.norm_last, self.dropout)
        activate = ACTIVATIONS[self.activation]
        x = self.norm(rows.pad(activate(x) if self.norm_last else x), rows.mask())
        x = rows.unpad(x if self.norm_last else activate(x))
        return dropout(x, self.dropout, self.training)

    def _convolved(self, x: Rows, rows: Varlen) -> RowsOut:
        if is_plain_conv(self.conv):
            return convolve(x, rows, self.conv.weight, self.conv.bias)
        padded = F.pad(rows.pad(x).transpose(1, 2), self.reach)
        return rows.unpad(self.conv(padded).transpose(1, 2))


def in_turn(convs: Iterable[nn.Module], x: Rows, rows: Varlen) -> RowsOut:
    """Apply several convolutions to a batch without padding, one after another.

    Args:
        convs: modules with a method `of_rows(x, rows)`, such as `MaskedConv`.
        x: (rows, channels), the valid positions of all utterances, one utterance after another.
        rows: layout of the batch, which tells the utterance of each row.

    Returns:
        Output of the last module, (rows, its channels).
    """
    for conv in convs:
        x = on_rows(conv, x, rows, "mask")
    return x
