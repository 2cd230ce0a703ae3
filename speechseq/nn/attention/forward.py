"""Forward attention (Zhang, Ling and Dai 2018): weights may stay or move on by one position a step.

"Forward attention in sequence-to-sequence acoustic modelling for speech synthesis"
(https://arxiv.org/abs/1807.06736), algorithms 1 and 2.
"""

import dataclasses
import math
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.nn.attention.contract import AttentionConfig, attend
from speechseq.nn.attention.location_sensitive import (
    LocationSensitiveAttention,
    LocationSensitiveConfig,
)
from speechseq.nn.attention.reading import first_distribution
from speechseq.nn.precision import at_least_float32
from speechseq.nn.rows import PerUtterance
from speechseq.ranges import Kernel, Width
from speechseq.shapes import Context, Memory, MemoryMask, Query, Weights

LEAST = 1e-30  # of the weight that may arrive at a position; below it, the position is not reached
SUREST = 30.0  # of the logit of moving on, so that staying remains possible on the last position


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForwardConfig(AttentionConfig):
    """Settings of forward attention (Zhang 2018).

    Attributes:
        dim: width of the tanh layer of the energies.
        filters: number of location filters.
        kernel: width of a location filter in positions, odd.
        transition_agent: predict the probability of moving on at a step from context and query of
            the previous step; otherwise it is 1/2.

    Examples:
        >>> attention = ForwardConfig(transition_agent=True).build(query_dim=16, memory_dim=8)
        >>> state = attention.start(torch.randn(1, 5, 8), torch.ones(1, 5, dtype=torch.bool))
        >>> context, weights, state = attention(torch.randn(1, 16), state)
        >>> weights[0, 2:].tolist()  # the first step reaches positions 0 and 1
        [0.0, 0.0, 0.0]
    """

    kind: ClassVar[str] = "forward"
    dim: Width = 128
    filters: Width = 32
    kernel: Kernel = 31
    transition_agent: bool = False

    def check(self) -> None:
        """Raise ConfigError for an even kernel, which would shift the weights."""
        self.energies()

    def build(self, query_dim: int, memory_dim: int) -> "ForwardAttention":
        """Build the module.

        Args:
            query_dim: width of the queries, the hidden states of the decoder.
            memory_dim: width of the memory, the output of the encoder.
        """
        return ForwardAttention(query_dim, memory_dim, self)

    def energies(self) -> LocationSensitiveConfig:
        """Return the settings of the location-sensitive attention that computes the energies."""
        return LocationSensitiveConfig(
            reading=self.reading, dim=self.dim, filters=self.filters, kernel=self.kernel
        )


class ForwardState(NamedTuple):
    """State of `ForwardAttention` between two steps.

    Attributes:
        memory: (batch, positions, memory_dim), zero in the padding.
        mask: (batch, positions), True = valid.
        keys: (batch, positions, dim), the projected memory.
        history: (batch, 2, positions), the previous weights and the sum of all weights so far.
        move: (batch, 1), logit of the probability of moving on at the next step.
    """

    memory: PerUtterance
    mask: PerUtterance
    keys: PerUtterance
    history: Tensor
    move: Tensor


class ForwardAttention(LocationSensitiveAttention):
    """Forward attention: weights(n) ∝ ((1 - u) α(n) + u α(n - 1)) exp(energy(n)) (Zhang 2018).

    α are the previous weights and u is the probability of moving on, 1/2 at the first step; the
    energies are those of location-sensitive attention. Before the first step, all weight is on
    position 0, unless `reading.first` is "uniform". The options of `reading` apply to the logarithm
    of the right-hand side, in place of plain energies.

    Args:
        query_dim: width of the queries, the hidden states of the decoder.
        memory_dim: width of the memory, the output of the encoder.
        config: a `ForwardConfig`, whose `build` makes the module.
    """

    monotonic = True

    def __init__(self, query_dim: int, memory_dim: int, config: ForwardConfig) -> None:
        super().__init__(query_dim, memory_dim, config.energies())
        agent = nn.Linear(memory_dim + query_dim, 1) if config.transition_agent else None
        self.transition = agent

    def start(self, memory: Memory, memory_mask: MemoryMask) -> Any:
        """Project the memory to keys, once per utterance.

        Args:
            memory: (batch, positions, memory_dim), output of the encoder.
            memory_mask: (batch, positions), True = valid.

        Returns:
            The state before the first step, a `ForwardState`.
        """
        begun = super().start(memory, memory_mask)
        first = first_distribution(memory, memory_mask, self.reading)
        history = torch.stack([first, torch.zeros_like(first)], 1)
        return ForwardState(*begun[:3], history, first.new_zeros(len(memory), 1))

    def forward(self, query: Query, state: Any) -> tuple[Context, Weights, Any]:
        """Run one step of attention.

        Args:
            query: (batch, query_dim), hidden states of the decoder.
            state: result of `start` or of the previous step.

        Returns:
            Context (batch, memory_dim), attention weights (batch, positions), and the next state.
        """
        previous = state.history[:, 0]
        energies = at_least_float32(self._energies(self.query(query), state.keys, state.history))
        stay, move = torch.sigmoid(-state.move), torch.sigmoid(state.move)
        arriving = stay * previous + move * F.pad(previous, (1, -1))
        paths = energies + arriving.clamp(min=LEAST).log()
        paths = torch.where(arriving > LEAST, paths, -math.inf)
        read = attend(paths, state.memory, state.mask, self.reading, previous)
        history = self._remember(read.weights, state.history)
        if self.transition is not None:
            logit = self.transition(torch.cat([read.context, query.to(read.context.dtype)], dim=1))
            state = state._replace(move=at_least_float32(logit).clamp(-SUREST, SUREST))
        return *read, state._replace(history=history)
