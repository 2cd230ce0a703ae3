"""Content-based additive attention (Bahdanau 2015), as Tacotron uses it."""

import dataclasses
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from speechseq.nn.attention.additive import AdditiveAttention, called_energies
from speechseq.nn.attention.contract import AttentionConfig, attend
from speechseq.nn.attention.reading import first_alignment
from speechseq.nn.masks import zero_padding
from speechseq.nn.rows import PerUtterance
from speechseq.ops.additive import additive_energies
from speechseq.ranges import Width
from speechseq.shapes import Context, Memory, MemoryMask, Query, Weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContentConfig(AttentionConfig):
    """Settings of content-based attention (Bahdanau 2015).

    Attributes:
        dim: width that query and memory are projected to.

    Examples:
        >>> attention = ContentConfig(dim=128).build(query_dim=16, memory_dim=8)
        >>> memory, mask = torch.randn(1, 5, 8), torch.ones(1, 5, dtype=torch.bool)
        >>> state = attention.start(memory, mask)  # once per utterance
        >>> for query in torch.randn(3, 1, 16):
        ...     context, weights, state = attention(query, state)
    """

    kind: ClassVar[str] = "content"
    dim: Width = 256

    def build(self, query_dim: int, memory_dim: int) -> "ContentAttention":
        """Build the module.

        Args:
            query_dim: width of the queries, the hidden states of the decoder.
            memory_dim: width of the memory, the output of the encoder.
        """
        return ContentAttention(query_dim, memory_dim, self)


class ContentState(NamedTuple):
    """State of `ContentAttention` between two steps.

    Attributes:
        memory: (batch, positions, memory_dim), zero in the padding.
        mask: (batch, positions), True = valid.
        keys: (batch, positions, dim), the projected memory.
        previous: (batch, positions), weights of the previous step.
    """

    memory: PerUtterance
    mask: PerUtterance
    keys: PerUtterance
    previous: Tensor


class ContentAttention(AdditiveAttention):
    """Content-based attention: energies = v · tanh(W query + V memory) (Bahdanau 2015).

    `ContentConfig().build(query_dim, memory_dim)` makes it; call `start` once, then the module once
    per step.

    Args:
        query_dim: width of the queries, the hidden states of the decoder.
        memory_dim: width of the memory, the output of the encoder.
        config: a `ContentConfig`.
    """

    def __init__(self, query_dim: int, memory_dim: int, config: ContentConfig) -> None:
        super().__init__()
        self.reading = config.reading
        self.query = nn.Linear(query_dim, config.dim, bias=False)
        self.key = nn.Linear(memory_dim, config.dim, bias=False)
        self.energy = nn.Linear(config.dim, 1, bias=False)
        for layer in (self.query, self.key):
            nn.init.xavier_uniform_(layer.weight, gain=nn.init.calculate_gain("tanh"))

    def start(self, memory: Memory, memory_mask: MemoryMask) -> ContentState:
        """Project the memory to keys, once per utterance.

        Args:
            memory: (batch, positions, memory_dim), output of the encoder.
            memory_mask: (batch, positions), True = valid.

        Returns:
            The state before the first step.
        """
        memory = zero_padding(memory, memory_mask)
        previous = first_alignment(memory, memory_mask, self.reading)
        return ContentState(memory, memory_mask, self.key(memory), previous)

    def forward(self, query: Query, state: ContentState) -> tuple[Context, Weights, ContentState]:
        """Run one step of attention.

        Args:
            query: (batch, query_dim), hidden states of the decoder.
            state: result of `start` or of the previous step.

        Returns:
            Context (batch, memory_dim), attention weights (batch, positions), and the next state.
        """
        energies = self._energies(self.query(query), state.keys)
        read = attend(energies, state.memory, state.mask, self.reading, state.previous)
        return *read, state._replace(previous=read.weights)

    def read_layers(self) -> tuple[nn.Module, ...]:
        """Return the projection of the query and the last layer, whose weights kernels read."""
        return self.query, self.energy

    def _energies(self, query: Tensor, keys: Tensor) -> Tensor:
        if not self.is_readable():
            return called_energies(query, keys, self.energy)
        return additive_energies(query, keys, self.energy.weight[0])
