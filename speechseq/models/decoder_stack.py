"""Decoder RNN stacks above the attention RNN: whole sequences in training, steps in synthesis."""

import dataclasses
import itertools
from typing import ClassVar

from torch import Tensor, nn

from speechseq.config import Config
from speechseq.nn.cells import SplitCell, SplitGRU, SplitLSTM
from speechseq.ops.dropout import dropout
from speechseq.ops.varlen import Rows, RowsOut, Varlen
from speechseq.ranges import Depth, Dropout, Width


class DecoderStack(nn.Module):
    """Base class of the recurrent layers of a `FrameDecoder` above the attention RNN.

    Their output, of width `output_dim`, does not feed back into attention. So training calls
    `forward` once, over all steps, after the attention loop; synthesis calls `start` and then
    `step` for each step. A subclass sets `layers` and `output_dim` and implements these three
    methods.

    Attributes:
        layers: the layers, from the bottom; some of them are recurrent cells.
        output_dim: width of the output.
    """

    layers: nn.ModuleList
    output_dim: int

    @property
    def cells(self) -> list[SplitCell]:
        """The recurrent cells of the layers, from the bottom."""
        return [cell for cell in self.layers if isinstance(cell, SplitCell)]

    def forward(self, inputs: Rows, rows: Varlen) -> RowsOut:
        """Run all steps at once, without padding.

        Args:
            inputs: (rows, input_dim), valid steps of all utterances, one utterance after another:
                [hidden state of the attention RNN; context].
            rows: layout of the batch, which tells the utterance of each row.

        Returns:
            Outputs (rows, output_dim).
        """
        raise NotImplementedError

    def start(self, batch: int, like: Tensor) -> tuple:
        """Return the state before the first step.

        Args:
            batch: number of rows.
            like: tensor whose dtype and device the state gets.
        """
        raise NotImplementedError

    def step(self, inputs: Tensor, state: tuple) -> tuple[Tensor, tuple]:
        """Run one step, in synthesis.

        Args:
            inputs: (batch, input_dim), [hidden state of the attention RNN; context].
            state: result of `start`, or of the previous step.

        Returns:
            The output (batch, output_dim), and the next state.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderStackConfig(Config):
    """Base class of the settings of a `DecoderStack`; a subclass implements `build`.

    `FrameDecoderConfig.stack` takes one; building the decoder calls `build`.
    """

    def build(self, input_dim: int) -> DecoderStack:
        """Build the stack for inputs of width `input_dim`.

        Inputs are [hidden state of the attention RNN; context].
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class LSTMStackConfig(DecoderStackConfig):
    """Settings of Tacotron 2's decoder RNN, `LSTMStack`.

    Attributes:
        layers: number of LSTM layers.
        dim: units of each layer.
        dropout: probability of dropping a unit of a layer's output, in training.
        zoneout: probability that a unit of the states keeps its value, as in Tacotron 2.
    """

    kind: ClassVar[str] = "lstm"
    layers: Depth = 1
    dim: Width = 1024
    dropout: Dropout = 0.1
    zoneout: Dropout = 0.0

    def build(self, input_dim: int) -> "LSTMStack":
        """Build the stack for inputs [hidden state; context] of width `input_dim`."""
        return LSTMStack(input_dim, self)


class LSTMStack(DecoderStack):
    """Decoder RNN of Tacotron 2: LSTM layers, each reading the output of the layer below.

    `LSTMStackConfig().build(input_dim)` makes it. In training, `forward` runs a layer over all
    steps in one call of a C++ kernel; without the kernel, torch's LSTM computes the same, or, with
    zoneout, one step after another. Dropout acts on a layer's output and not on its state.

    Args:
        input_dim: width of [attention RNN's hidden state; context].
        config: an `LSTMStackConfig`.
    """

    def __init__(self, input_dim: int, config: LSTMStackConfig) -> None:
        super().__init__()
        widths = (input_dim, *[config.dim] * config.layers)
        self.layers = nn.ModuleList(
            SplitLSTM(a, 0, b, zoneout=config.zoneout) for a, b in itertools.pairwise(widths)
        )
        self.dropout, self.output_dim = config.dropout, config.dim

    def forward(self, inputs: Rows, rows: Varlen) -> RowsOut:
        """Run all steps at once, without padding.

        Args:
            inputs: (rows, input_dim), valid steps of all utterances, one utterance after another.
            rows: layout of the batch, which tells the utterance of each row.

        Returns:
            Outputs of the top layer (rows, dim).
        """
        for cell in self.cells:
            inputs = dropout(cell.run_rows(inputs, rows), self.dropout, self.training)
        return inputs

    def start(self, batch: int, like: Tensor) -> tuple:
        """Return the state before the first step: an LSTMState of zeros (batch, dim) per layer.

        Args:
            batch: number of rows.
            like: tensor whose dtype and device the state gets.
        """
        return tuple(cell.start(batch, like) for cell in self.cells)

    def step(self, inputs: Tensor, state: tuple) -> tuple[Tensor, tuple]:
        """Run one step, in synthesis.

        Args:
            inputs: (batch, input_dim), [hidden state of the attention RNN; context].
            state: result of `start`, or of the previous step.

        Returns:
            The output of the top layer (batch, dim), and the next state.
        """
        after = []
        for cell, before in zip(self.cells, state, strict=True):
            after.append(cell.step(inputs, before))
            inputs = dropout(after[-1].hidden, self.dropout, self.training)
        return inputs, tuple(after)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResidualGRUStackConfig(DecoderStackConfig):
    """Settings of Tacotron's decoder RNN (Wang 2017, table 1): GRU layers with residuals.

    Attributes:
        layers: number of GRU layers.
        dim: units of each.
    """

    kind: ClassVar[str] = "residual_gru"
    layers: Depth = 2
    dim: Width = 256

    def build(self, input_dim: int) -> "ResidualGRUStack":
        """Build the stack for inputs [hidden state; context] of width `input_dim`."""
        return ResidualGRUStack(input_dim, self)


class ResidualGRUStack(DecoderStack):
    """Decoder RNN of Tacotron: a projection to `dim`, then GRU layers with residual connections.

    `ResidualGRUStackConfig().build(input_dim)` makes it. Each GRU layer's input is added to its
    output. The methods are those of `DecoderStack`.

    Args:
        input_dim: width of [attention RNN's hidden state; context].
        config: a `ResidualGRUStackConfig`.
    """

    def __init__(self, input_dim: int, config: ResidualGRUStackConfig) -> None:
        super().__init__()
        self.project = nn.Linear(input_dim, config.dim)
        self.layers = nn.ModuleList(
            SplitGRU(config.dim, 0, config.dim) for _ in range(config.layers)
        )
        self.output_dim = config.dim

    def forward(self, inputs: Rows, rows: Varlen) -> RowsOut:
        """Run all steps at once, without padding.

        Args:
            inputs: (rows, input_dim), valid steps of all utterances, one utterance after another.
            rows: layout of the batch, which tells the utterance of each row.

        Returns:
            Outputs of the top layer (rows, dim).
        """
        x = self.project(inputs)
        for cell in self.cells:
            x = x + cell.run_rows(x, rows)
        return x

    def start(self, batch: int, like: Tensor) -> tuple:
        """Return the state before the first step: a GRUState of zeros (batch, dim) per layer.

        Args:
            batch: number of rows.
            like: tensor whose dtype and device the state gets.
        """
        return tuple(cell.start(batch, like) for cell in self.cells)

    def step(self, inputs: Tensor, state: tuple) -> tuple[Tensor, tuple]:
        """Run one step, in synthesis.

        Args:
            inputs: (batch, input_dim), [hidden state of the attention RNN; context].
            state: result of `start`, or of the previous step.

        Returns:
            The output of the top layer (batch, dim), and the next state.
        """
        x, after = self.project(inputs), []
        for cell, before in zip(self.cells, state, strict=True):
            after.append(cell.step(x, before))
            x = x + after[-1].hidden
        return x, tuple(after)
