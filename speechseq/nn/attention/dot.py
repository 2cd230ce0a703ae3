"""Attention by a dot product of two small networks (Listen, Attend and Spell, Chan 2015)."""

import dataclasses
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from speechseq.nn.attention.contract import Attention, AttentionConfig, attend
from speechseq.nn.attention.reading import first_alignment
from speechseq.nn.masks import zero_padding
from speechseq.nn.rows import PerUtterance
from speechseq.ops.additive import by_utterance
from speechseq.ranges import Depth, Width
from speechseq.shapes import Context, Memory, MemoryMask, Query, Weights

ACTIVATIONS = {"linear": nn.Identity, "tanh": nn.Tanh, "relu": nn.ReLU}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DotConfig(AttentionConfig):
    """Settings of dot-product attention, with one network for queries and one for the memory.

    Attributes:
        dim: units of each layer, and width of queries and keys in the product.
        layers: number of layers of each network.
        activation: function after every layer; one layer with "linear" is a plain projection.
        scaled: divide energies by the square root of dim, as in transformers.

    Examples:
        >>> attention = DotConfig(scaled=True).build(query_dim=16, memory_dim=8)
        >>> state = attention.start(torch.randn(1, 5, 8), torch.ones(1, 5, dtype=torch.bool))
        >>> context, weights, state = attention(torch.randn(1, 16), state)
        >>> context.shape, weights.shape
        (torch.Size([1, 8]), torch.Size([1, 5]))
    """

    kind: ClassVar[str] = "dot"
    dim: Width = 256
    layers: Depth = 1
    activation: Literal["linear", "tanh", "relu"] = "tanh"
    scaled: bool = False

    def build(self, query_dim: int, memory_dim: int) -> "DotAttention":
        """Build the module.

        Args:
            query_dim: width of the queries, the hidden states of the decoder.
            memory_dim: width of the memory, the output of the encoder.
        """
        return DotAttention(query_dim, memory_dim, self)


class DotState(NamedTuple):
    """State of `DotAttention` between two steps.

    Attributes:
        memory: (batch, positions, memory_dim), zero in the padding.
        mask: (batch, positions), True = valid.
        keys: (batch, positions, dim), the memory after its network.
        previous: (batch, positions), weights of the previous step.
    """

    memory: PerUtterance
    mask: PerUtterance
    keys: PerUtterance
    previous: Tensor


class DotAttention(Attention):
    """Dot-product attention: energies = φ(query) · ψ(memory), with small networks φ and ψ.

    `DotConfig().build(query_dim, memory_dim)` makes it; call `start` once, then the module once per
    step.

    Source: Chan et al. 2015, "Listen, Attend and Spell".

    Args:
        query_dim: width of the queries, the hidden states of the decoder.
        memory_dim: width of the memory, the output of the encoder.
        config: a `DotConfig`, the settings of both networks.
    """

    def __init__(self, query_dim: int, memory_dim: int, config: DotConfig) -> None:
        super().__init__()
        self.reading = config.reading
        self.query = _network(query_dim, config)
        self.key = _network(memory_dim, config)
        self.scale = config.dim**-0.5 if config.scaled else 1.0

    def start(self, memory: Memory, memory_mask: MemoryMask) -> DotState:
        """Compute the keys, once per utterance.

        Args:
            memory: (batch, positions, memory_dim), output of the encoder.
            memory_mask: (batch, positions), True = valid.

        Returns:
            The state before the first step.
        """
        memory = zero_padding(memory, memory_mask)
        previous = first_alignment(memory, memory_mask, self.reading)
        return DotState(memory, memory_mask, self.key(memory), previous)

    def forward(self, query: Query, state: DotState) -> tuple[Context, Weights, DotState]:
        """Run one step of attention.

        Args:
            query: (batch, query_dim), hidden states of the decoder.
            state: result of `start` or of the previous step.

        Returns:
            Context (batch, memory_dim), attention weights (batch, positions), and the next state.
        """
        scaled = self.scale * self.query(query)
        energies = dot_energies(scaled, state.keys)
        read = attend(energies, state.memory, state.mask, self.reading, state.previous)
        return *read, state._replace(previous=read.weights)


def dot_energies(
    query: Float[Tensor, "batch dim"], keys: Float[Tensor, "utterances positions dim"]
) -> Weights:
    """Compute the energies of dot-product attention: products of each query with its keys.

    Args:
        query: (batch, dim). In a beam search, batch is utterances × k, and the k queries of an
            utterance (its hypotheses) are adjacent rows.
        keys: (utterances, positions, dim), the projected memory.

    Returns:
        Energies (batch, positions).
    """
    return torch.bmm(by_utterance(query, len(keys)), keys.transpose(1, 2)).flatten(0, 1)


def _network(inputs: int, config: DotConfig) -> nn.Sequential:
    parts: list[nn.Module] = []
    for width in [inputs] + [config.dim] * (config.layers - 1):
        layer = nn.Linear(width, config.dim)
        nn.init.xavier_uniform_(layer.weight, gain=nn.init.calculate_gain(config.activation))
        nn.init.zeros_(layer.bias)
        parts += [layer, ACTIVATIONS[config.activation]()]
    return nn.Sequential(*parts)
