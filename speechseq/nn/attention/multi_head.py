"""Multi-head attention (Chiu 2018) for recurrent decoders; each head is a mechanism of its own."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn

from speechseq.config import choice
from speechseq.errors import ConfigError
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.contract import PLAIN, Attention, AttentionConfig
from speechseq.nn.attention.dot import DotConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.nn.masks import zero_padding
from speechseq.ranges import Depth
from speechseq.shapes import Context, Memory, MemoryMask, Query, Weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiHeadConfig(AttentionConfig):
    """Settings of multi-head attention (Chiu 2018).

    Attributes:
        heads: number of heads.
        head: settings of the mechanism of every head; its `reading` must be the default, because
            all heads share the `reading` of these settings.
    """

    kind: ClassVar[str] = "multi_head"
    heads: Depth = 4
    head: AttentionConfig = choice(
        DotConfig, ContentConfig, LocationSensitiveConfig, default=DotConfig(dim=64)
    )

    def check(self) -> None:
        """Raise ConfigError if `head` has a `reading`, which is set for all heads together."""
        if self.head.reading != PLAIN:
            raise ConfigError(
                "head.reading: one head has no reading of its own",
                "set `reading` beside `heads`; it holds for every head",
            )

    def build(self, query_dim: int, memory_dim: int) -> "MultiHeadAttention":
        """Build all heads.

        Args:
            query_dim: width of the queries, the hidden states of the decoder.
            memory_dim: width of the memory, the output of the encoder.
        """
        return MultiHeadAttention(query_dim, memory_dim, self)


class MultiHeadState(NamedTuple):
    """State of `MultiHeadAttention` between two steps.

    Attributes:
        heads: state of each head, in their order.
    """

    heads: tuple[Any, ...]


class MultiHeadAttention(Attention):
    """Multi-head attention (Chiu 2018), whose heads are attention mechanisms of any one kind.

    Each head computes its keys from the whole memory, and averages a projection of the memory of
    its own, the values. The heads' contexts are concatenated and projected to memory_dim; the
    returned weights are the mean over heads. A mechanism can be a head if its state is a NamedTuple
    with a field `memory`, into which the values are put.

    Args:
        query_dim: width of the queries, the hidden states of the decoder.
        memory_dim: width of the memory, the output of the encoder.
        config: a `MultiHeadConfig`, whose `build` makes the module.
    """

    def __init__(self, query_dim: int, memory_dim: int, config: MultiHeadConfig) -> None:
        super().__init__()
        width = max(1, memory_dim // config.heads)
        self.heads = nn.ModuleList(
            config.head.build(query_dim, memory_dim) for _ in range(config.heads)
        )
        self.values = nn.Linear(memory_dim, config.heads * width)
        self.context = nn.Linear(config.heads * width, memory_dim)
        self.reading = config.reading
        for layer in (self.values, self.context):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    @property
    def reading(self) -> ReadingConfig:
        """Options by which energies become weights; assigning them sets those of all heads."""
        return self._heads()[0].reading

    @reading.setter
    def reading(self, reading: ReadingConfig) -> None:
        for head in self._heads():
            head.reading = reading

    def start(self, memory: Memory, memory_mask: MemoryMask) -> MultiHeadState:
        """Project keys and values, once per utterance; return the state before the first step.

        Args:
            memory: (batch, positions, memory_dim), output of the encoder.
            memory_mask: (batch, positions), True = valid.
        """
        memory = zero_padding(memory, memory_mask)
        values = self.values(memory).chunk(len(self.heads), dim=2)
        heads = zip(self._heads(), values, strict=True)
        return MultiHeadState(
            tuple(head.start(memory, memory_mask)._replace(memory=own) for head, own in heads)
        )

    def forward(self, query: Query, state: MultiHeadState) -> tuple[Context, Weights, Any]:
        """Run one step of every head.

        Args:
            query: (batch, query_dim), hidden states of the decoder.
            state: result of `start` or of the previous step.

        Returns:
            Context (batch, memory_dim), attention weights (batch, positions), which are the mean
            over heads, and the next state.
        """
        heads = zip(self._heads(), state.heads, strict=True)
        contexts, weights, states = zip(*(head(query, own) for head, own in heads), strict=True)
        context = self.context(torch.cat(contexts, dim=1))
        return context, torch.stack(weights).mean(0), MultiHeadState(states)

    def _heads(self) -> list[Any]:
        return list(self.heads)
