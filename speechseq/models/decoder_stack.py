"""Decoder RNN stacks above the attention: whole sequences in training, steps in a free run."""

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
    """Recurrent layers whose output does not feed back into attention, hoisted out of its loop."""

    layers: nn.ModuleList
    output_dim: int

    @property
    def cells(self) -> list[SplitCell]:
        """The layers' cells, from the bottom."""
        return [cell for cell in self.layers if isinstance(cell, SplitCell)]

    def forward(self, inputs: Rows, rows: Varlen) -> RowsOut:
        """All steps of a batch at once, (rows, input_dim) to (rows, output_dim)."""
        raise NotImplementedError

    def start(self, batch: int, like: Tensor) -> tuple:
        """The state before the first step."""
        raise NotImplementedError

    def step(self, inputs: Tensor, state: tuple) -> tuple[Tensor, tuple]:
        """One step (batch, input_dim): the output (batch, output_dim) and the next state."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderStackConfig(Config):
    """Settings of a stack; `build` makes its module."""

    def build(self, input_dim: int) -> DecoderStack:
        """The stack for inputs [attention RNN's hidden state; context] of this width."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class LSTMStackConfig(DecoderStackConfig):
    """LSTM layers of `dim` units, with zoneout (Tacotron 2) or dropout of their outputs."""

    kind: ClassVar[str] = "lstm"
    layers: Depth = 1
    dim: Width = 1024
    dropout: Dropout = 0.1
    zoneout: Dropout = 0.0

    def build(self, input_dim: int) -> "LSTMStack":
        """The stack for inputs of this width."""
        return LSTMStack(input_dim, self)


class LSTMStack(DecoderStack):
    """LSTM layers one after another.

    A layer runs over all steps in one call of a C++ kernel, zoneout included; without the kernel in
    torch's LSTM, or step by step with zoneout. Dropout acts on a layer's output and not on its
    state, so that all paths are the same mathematics.
    """

    def __init__(self, input_dim: int, config: LSTMStackConfig) -> None:
        super().__init__()
        widths = (input_dim, *[config.dim] * config.layers)
        self.layers = nn.ModuleList(
            SplitLSTM(a, 0, b, zoneout=config.zoneout) for a, b in itertools.pairwise(widths)
        )
        self.dropout, self.output_dim = config.dropout, config.dim

    def forward(self, inputs: Rows, rows: Varlen) -> RowsOut:
        """(rows, input_dim) to (rows, dim)."""
        for cell in self.cells:
            inputs = dropout(cell.run_rows(inputs, rows), self.dropout, self.training)
        return inputs

    def start(self, batch: int, like: Tensor) -> tuple:
        """One LSTMState a layer."""
        return tuple(cell.start(batch, like) for cell in self.cells)

    def step(self, inputs: Tensor, state: tuple) -> tuple[Tensor, tuple]:
        """One step (batch, input_dim) to (batch, dim)."""
        after = []
        for cell, before in zip(self.cells, state, strict=True):
            after.append(cell.step(inputs, before))
            inputs = dropout(after[-1].hidden, self.dropout, self.training)
        return inputs, tuple(after)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResidualGRUStackConfig(DecoderStackConfig):
    """Tacotron's decoder RNN (Wang 2017, table 1): GRU layers with residual connections."""

    kind: ClassVar[str] = "residual_gru"
    layers: Depth = 2
    dim: Width = 256

    def build(self, input_dim: int) -> "ResidualGRUStack":
        """The stack for inputs of this width."""
        return ResidualGRUStack(input_dim, self)


class ResidualGRUStack(DecoderStack):
    """A projection to `dim`, then GRU layers whose input is added to their output."""

    def __init__(self, input_dim: int, config: ResidualGRUStackConfig) -> None:
        super().__init__()
        self.project = nn.Linear(input_dim, config.dim)
        self.layers = nn.ModuleList(
            SplitGRU(config.dim, 0, config.dim) for _ in range(config.layers)
        )
        self.output_dim = config.dim

    def forward(self, inputs: Rows, rows: Varlen) -> RowsOut:
        """(rows, input_dim) to (rows, dim)."""
        x = self.project(inputs)
        for cell in self.cells:
            x = x + cell.run_rows(x, rows)
        return x

    def start(self, batch: int, like: Tensor) -> tuple:
        """One GRUState a layer."""
        return tuple(cell.start(batch, like) for cell in self.cells)

    def step(self, inputs: Tensor, state: tuple) -> tuple[Tensor, tuple]:
        """One step (batch, input_dim) to (batch, dim)."""
        x, after = self.project(inputs), []
        for cell, before in zip(self.cells, state, strict=True):
            after.append(cell.step(x, before))
            x = x + after[-1].hidden
        return x, tuple(after)
