"""Content-based additive attention (Bahdanau 2015), as Tacotron uses it."""

import dataclasses
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from speechseq.nn.attention.additive import additive_energies
from speechseq.nn.attention.contract import Attention, AttentionConfig, attend
from speechseq.nn.masks import zero_padding
from speechseq.shapes import Context, Memory, MemoryMask, Query, Weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContentConfig(AttentionConfig):
    """dim: width of the tanh layer in which query and keys meet."""

    kind: ClassVar[str] = "content"
    dim: int = 256

    def build(self, query_dim: int, memory_dim: int) -> "ContentAttention":
        """The mechanism for queries and memories of these widths."""
        return ContentAttention(query_dim, memory_dim, self.dim)


class ContentState(NamedTuple):
    """memory (batch, positions, memory_dim), its mask, and keys (batch, positions, dim)."""

    memory: Tensor
    mask: Tensor
    keys: Tensor


class ContentAttention(Attention):
    """energies = v · tanh(W query + V memory)."""

    def __init__(self, query_dim: int, memory_dim: int, dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_dim, dim, bias=False)
        self.key = nn.Linear(memory_dim, dim, bias=False)
        self.energy = nn.Linear(dim, 1, bias=False)
        for layer in (self.query, self.key):
            nn.init.xavier_uniform_(layer.weight, gain=nn.init.calculate_gain("tanh"))

    def start(self, memory: Memory, memory_mask: MemoryMask) -> ContentState:
        """Project the keys, once an utterance."""
        memory = zero_padding(memory, memory_mask)
        return ContentState(memory, memory_mask, self.key(memory))

    def forward(self, query: Query, state: ContentState) -> tuple[Context, Weights, ContentState]:
        """One step; the state comes back as it was."""
        energies = additive_energies(self.query(query), state.keys, self.energy.weight[0])
        context, weights = attend(energies, state.memory, state.mask)
        return context, weights, state
