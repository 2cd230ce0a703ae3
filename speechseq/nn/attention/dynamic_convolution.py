"""Dynamic convolution attention (Battenberg et al. 2020): filters of the previous weights alone.

Some filters are learned, others are made from the query at each step, and a fixed prior lets
attention move forward by a few positions a step (https://arxiv.org/abs/1910.10288, §2.3).
"""

import dataclasses
import math
from typing import Annotated, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.errors import ConfigError
from speechseq.nn.attention.contract import Attention, AttentionConfig, attend
from speechseq.nn.attention.reading import first_distribution
from speechseq.nn.masks import zero_padding
from speechseq.nn.rows import PerUtterance
from speechseq.ranges import Kernel, Range, Width
from speechseq.shapes import Context, Memory, MemoryMask, Query, Weights

FLOOR = 1e-6  # of the prior before its logarithm
Shape = Annotated[float, Range(0, 1e6, above=True)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DynamicConvolutionConfig(AttentionConfig):
    """Settings of dynamic convolution attention (Battenberg 2020); the defaults are the paper's.

    Attributes:
        dim: width of the tanh layer.
        static_filters, static_kernel: number and odd width of learned filters of the previous
            weights.
        dynamic_filters, dynamic_kernel: number and odd width of filters computed from the query.
        prior_length: the prior lets attention stay or move forward by up to prior_length - 1
            positions per step. A step that covers many positions, as at a large reduction factor,
            needs more.
        prior_alpha, prior_beta: parameters of the beta-binomial distribution of these moves; by
            default attention moves by 1 position on average.

    Examples:
        >>> attention = DynamicConvolutionConfig().build(query_dim=16, memory_dim=8)
        >>> state = attention.start(torch.randn(1, 9, 8), torch.ones(1, 9, dtype=torch.bool))
        >>> context, weights, state = attention(torch.randn(1, 16), state)
        >>> weights.argmax().item()
        0
    """

    kind: ClassVar[str] = "dynamic_convolution"
    dim: Width = 128
    static_filters: Width = 8
    static_kernel: Kernel = 21
    dynamic_filters: Width = 8
    dynamic_kernel: Kernel = 21
    prior_length: Kernel = 11
    prior_alpha: Shape = 0.1
    prior_beta: Shape = 0.9

    def check(self) -> None:
        """Raise ConfigError for an even kernel, which would shift the weights."""
        for name in ("static_kernel", "dynamic_kernel"):
            if (kernel := getattr(self, name)) % 2 == 0:
                raise ConfigError(f"{name}: {kernel} is even", "use an odd width, such as 21")

    def build(self, query_dim: int, memory_dim: int) -> "DynamicConvolutionAttention":
        """Build the module.

        Args:
            query_dim: width of the queries, the hidden states of the decoder.
            memory_dim: width of the memory, which this mechanism does not use.
        """
        return DynamicConvolutionAttention(query_dim, self)


class DynamicConvolutionState(NamedTuple):
    """State of `DynamicConvolutionAttention` between two steps.

    Attributes:
        memory: (batch, positions, memory_dim), zero in the padding.
        mask: (batch, positions), True = valid.
        prior: (batch, prior_length), probabilities of the prior's moves, the longest move first.
        previous: (batch, positions), weights of the previous step.
    """

    memory: PerUtterance
    mask: PerUtterance
    prior: PerUtterance
    previous: Tensor


class DynamicConvolutionAttention(Attention):
    """Dynamic convolution attention, which filters the previous weights α (Battenberg 2020).

    energies = v · tanh(U static(α) + T dynamic(α) + b) + log prior(α). The static filters are
    learned; the dynamic ones are V tanh(W query + c), new at each step; the prior is a fixed filter
    that only stays or moves forward. Before the first step, all weight is on position 0, unless
    `reading.first` is "uniform".

    Args:
        query_dim: width of the queries, the hidden states of the decoder.
        config: a `DynamicConvolutionConfig`, whose `build` makes the module.
    """

    def __init__(self, query_dim: int, config: DynamicConvolutionConfig) -> None:
        super().__init__()
        self.config, self.reading = config, config.reading
        taps = config.dynamic_filters * config.dynamic_kernel
        self.query = nn.Linear(query_dim, config.dim)
        self.dynamic = nn.Linear(config.dim, taps, bias=False)
        self.static = nn.Conv1d(1, config.static_filters, config.static_kernel, bias=False)
        self.static_location = nn.Linear(config.static_filters, config.dim, bias=False)
        self.dynamic_location = nn.Linear(config.dynamic_filters, config.dim)
        self.energy = nn.Linear(config.dim, 1, bias=False)
        for layer in (self.query, self.static_location, self.dynamic_location):
            nn.init.xavier_uniform_(layer.weight, gain=nn.init.calculate_gain("tanh"))
        for bias in (self.query.bias, self.dynamic_location.bias):
            nn.init.zeros_(bias)

    def start(self, memory: Memory, memory_mask: MemoryMask) -> DynamicConvolutionState:
        """Prepare a memory, once per utterance; the mechanism needs no keys.

        Args:
            memory: (batch, positions, memory_dim), output of the encoder.
            memory_mask: (batch, positions), True = valid.

        Returns:
            The state before the first step.
        """
        memory = zero_padding(memory, memory_mask)
        previous = first_distribution(memory, memory_mask, self.reading)
        config = self.config
        prior = beta_binomial(config.prior_length, config.prior_alpha, config.prior_beta, previous)
        prior = prior.flip(0).expand(len(memory), -1)
        return DynamicConvolutionState(memory, memory_mask, prior, previous)

    def forward(
        self, query: Query, state: DynamicConvolutionState
    ) -> tuple[Context, Weights, DynamicConvolutionState]:
        """Run one step of attention.

        Args:
            query: (batch, query_dim), hidden states of the decoder.
            state: result of `start` or of the previous step.

        Returns:
            Context (batch, memory_dim), attention weights (batch, positions), and the next state.
        """
        previous = state.previous
        reach = self.config.prior_length - 1
        prior = F.pad(previous, (reach, 0)).unfold(1, reach + 1, 1) @ state.prior[0]
        energies = self._energies(query, previous) + prior.clamp(min=FLOOR).log()
        read = attend(energies, state.memory, state.mask, self.reading, previous)
        weights = read.weights if self.reading.through_previous else read.weights.detach()
        return *read, state._replace(previous=weights)

    def _energies(self, query: Tensor, previous: Tensor) -> Tensor:
        """Energies (batch, positions) without the prior."""
        taps = self.dynamic(torch.tanh(self.query(query)))
        weights = previous.to(taps.dtype)
        reach, kernel = self.config.static_kernel // 2, self.config.dynamic_kernel
        static = self.static(F.pad(weights.unsqueeze(1), (reach, reach))).transpose(1, 2)
        windows = F.pad(weights, (kernel // 2, kernel // 2)).unfold(1, kernel, 1)
        dynamic = torch.bmm(windows, taps.view(len(taps), -1, kernel).transpose(1, 2))
        around = self.static_location(static.flatten(0, 1))
        layer = torch.tanh(around + self.dynamic_location(dynamic.flatten(0, 1)))
        return self.energy(layer).view(previous.shape)


def beta_binomial(length: int, alpha: float, beta: float, like: Tensor) -> Float[Tensor, " moves"]:
    """Compute the probabilities of a beta-binomial distribution over 0 … length - 1.

    Args:
        length: number of values of the distribution.
        alpha, beta: its two shape parameters, above 0.
        like: tensor whose dtype and device the result gets.

    Returns:
        Probabilities (length).
    """
    moves = torch.arange(length, dtype=like.dtype, device=like.device)
    trials = length - 1
    choices = math.lgamma(length) - torch.lgamma(moves + 1) - torch.lgamma(trials - moves + 1)
    both = torch.lgamma(moves + alpha) + torch.lgamma(trials - moves + beta)
    log_beta = math.lgamma(alpha) + math.lgamma(beta) - math.lgamma(alpha + beta)
    return (choices + both - math.lgamma(trials + alpha + beta) - log_beta).exp()
