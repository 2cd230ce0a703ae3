"""Listener of a recogniser: encodes speech features to a memory of fewer positions."""

import dataclasses
from typing import Annotated

import torch
from torch import Tensor, nn

from speechseq.config import Config
from speechseq.errors import CheckpointError, ConfigError
from speechseq.nn.conv2d import ConvFront
from speechseq.nn.pyramid import Joining, PyramidBiLSTM, join_frames
from speechseq.ranges import Depth, Dropout, Items, Range, Update, Width
from speechseq.shapes import Encoded, Lengths, Sequence

_LONGEST_POSITION = 4096  # frames


@dataclasses.dataclass(frozen=True, kw_only=True)
class GrowthConfig(Config):
    """Settings of a listener that grows in training, which helps attention to align early.

    Training starts with few layers and short memories, as in RETURNN.

    Attributes:
        first_layers: number of layers at the start.
        layer_every: updates after which one more layer is added; 0 for all layers at once.
        pool: factor of a further reduction of the memory, until update `pool_until`.
    """

    first_layers: Depth = 2
    layer_every: Update = 0
    pool: Annotated[int, Range(1, 64)] = 2
    pool_until: Update = 0

    @property
    def wanted(self) -> bool:
        """Return True if the listener changes in training, in layers or in reduction."""
        return self.layer_every > 0 or self.pool_until > 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListenerConfig(Config):
    """Settings of the listener; the defaults are those of LAS (Chan 2015), 8 frames per position.

    Attributes:
        convolutions: channels of each 3 × 3 convolution of stride 2 before the pyramid.
        hidden: units of a BiLSTM per direction.
        base_layers: number of BiLSTM layers that read every frame.
        pyramid_layers: number of BiLSTM layers above them, each of which first joins frames.
        join: number of neighbouring frames that each pyramid layer joins to one.
        joining, layer_norm, dropout: see `PyramidBiLSTM`.
        growth: layers that are added in training, see `GrowthConfig`.
    """

    convolutions: Annotated[tuple[Width, ...], Items(0, 8)] = ()
    hidden: Width = 256
    base_layers: Depth = 1
    pyramid_layers: Annotated[int, Range(0, 16)] = 3
    join: Annotated[int, Range(1, 64)] = 2
    joining: Joining = "concatenate"
    layer_norm: bool = False
    dropout: Dropout = 0.0
    growth: GrowthConfig = GrowthConfig()

    def check(self) -> None:
        """Raise ConfigError for a reduction so large that it makes one position of any speech."""
        reduction = self.join**self.pyramid_layers * 2 ** len(self.convolutions)
        if reduction > _LONGEST_POSITION:
            problem = f"join: one position stands for {reduction:,} frames"
            raise ConfigError(problem, f"use fewer pyramid_layers: at most {_LONGEST_POSITION:,}")

    def build(self, features: int) -> "Listener":
        """Build the listener for frames of `features` channels."""
        return Listener(features, self)


class Listener(nn.Module):
    """Encoder of a recogniser: optional convolutions, then a pyramid of BiLSTM layers (Chan 2015).

    `ListenerConfig().build(features)` makes it. Calling it maps features (batch, frames, features)
    and their lengths (batch) to a memory (batch, positions, memory_dim) and its lengths. With a
    `GrowthConfig`, it starts with fewer layers or shorter memories, and `at_update`, called before
    each optimizer update, lets it grow.

    Args:
        features: number of channels of a frame.
        config: a `ListenerConfig`.

    Attributes:
        memory_dim: channels of the memory.
        reduction: frames per position of the memory when all layers run.
        grown: numbers (2) saved in checkpoints: layers that run, and factor of the pooling.
    """

    grown: Tensor

    def __init__(self, features: int, config: ListenerConfig) -> None:
        super().__init__()
        self.growth = config.growth
        self.front = ConvFront(features, config.convolutions) if config.convolutions else None
        self.pyramid = PyramidBiLSTM(
            self.front.output_dim if self.front else features,
            config.hidden,
            config.pyramid_layers,
            config.join,
            base_layers=config.base_layers,
            joining=config.joining,
            layer_norm=config.layer_norm,
            dropout=config.dropout,
        )
        self.memory_dim = self.pyramid.output_dim
        self.reduction = self.pyramid.reduction * (self.front.reduction if self.front else 1)
        if config.growth.wanted:  # saved with the weights: a checkpoint is used as it was trained
            layers = min(config.growth.first_layers, len(self.pyramid.layers))
            self.register_buffer("grown", torch.tensor([layers, config.growth.pool]))
            self.at_update(0)

    def at_update(self, update: int) -> None:
        """Set the number of active layers and the pooling above them for an optimizer update.

        Args:
            update: number of the update; the settings' `growth` has the schedule.
        """
        growth, layers = self.growth, len(self.pyramid.layers)
        if not growth.wanted:
            return
        if growth.layer_every:
            layers = min(layers, growth.first_layers + update // growth.layer_every)
        pool = growth.pool if update < growth.pool_until else 1
        self.grown.copy_(torch.tensor([layers, pool]))

    def forward(self, x: Sequence, lengths: Lengths) -> Encoded:
        """Encode features to a memory.

        Args:
            x: (batch, frames, features).
            lengths: (batch), number of valid frames.

        Returns:
            Memory (batch, positions, memory_dim), and its lengths (batch).

        Raises:
            CheckpointError: the saved number of layers is not one of this listener.
        """
        if self.front is not None:
            x, lengths = self.front(x, lengths)
        if not self.growth.wanted:
            return self.pyramid(x, lengths)
        layers, pool = self.grown.tolist()
        if not (1 <= layers <= len(self.pyramid.layers) and pool in (1, self.growth.pool)):
            problem = f"listener.grown: {layers} layers, pool {pool} are not of this listener"
            raise CheckpointError(problem, "use another checkpoint of the run")
        encoded = self.pyramid(x, lengths, layers)
        joined = join_frames(encoded.memory, encoded.memory_lengths, pool, "max_pool")
        return Encoded(joined.x, joined.lengths)
