"""GMM attention: Gaussians over positions whose means only move forward (Graves 2013).

It reads locations, never the memory's content, so it generalises to texts of any length. The
version "v2b" is that of Battenberg et al. 2020, "Location-relative attention mechanisms for robust
long-form speech synthesis" (table 1); "graves" is the one of "Generating sequences with recurrent
neural networks" (equations 46 to 51).
"""

import dataclasses
import math
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.nn.attention.contract import Attention, AttentionConfig, attend
from speechseq.nn.attention.reading import first_alignment
from speechseq.nn.masks import zero_padding
from speechseq.nn.precision import at_least_float32
from speechseq.nn.rows import PerUtterance
from speechseq.ranges import Depth, Width
from speechseq.shapes import Context, Memory, MemoryMask, Query, Weights

# Bounds of what the network says, far beyond any use, so that no square or gradient overflows.
NARROWEST, FASTEST, SHARPEST = -10.0, 10.0, 20.0
FIRST_STEP, FIRST_WIDTH = 1.0, 10.0  # of v2b, in positions


@dataclasses.dataclass(frozen=True, kw_only=True)
class GMMConfig(AttentionConfig):
    """Settings of GMM attention, a mixture of Gaussians that move forward over the positions.

    Attributes:
        version: "v2b" has normalised Gaussians, whose steps and widths are softplus functions;
            biases let an untrained model move the means by about 1 position per step, with widths
            of about 10. It aligns in most runs. "graves" has exponentials, and biases that start at
            0.
        mixtures: number of Gaussians.
        dim: width of the tanh layer that reads the query.

    Examples:
        >>> attention = GMMConfig().build(query_dim=16, memory_dim=8)
        >>> state = attention.start(torch.randn(1, 5, 8), torch.ones(1, 5, dtype=torch.bool))
        >>> context, weights, state = attention(torch.randn(1, 16), state)
        >>> state.means.shape
        torch.Size([1, 5])
    """

    kind: ClassVar[str] = "gmm"
    version: Literal["graves", "v2b"] = "v2b"
    mixtures: Depth = 5
    dim: Width = 128

    def build(self, query_dim: int, memory_dim: int) -> "GMMAttention":
        """Build the module.

        Args:
            query_dim: width of the queries, the hidden states of the decoder.
            memory_dim: width of the memory, which this mechanism does not use.
        """
        return GMMAttention(query_dim, self)


class GMMState(NamedTuple):
    """State of `GMMAttention` between two steps.

    Attributes:
        memory: (batch, positions, memory_dim), zero in the padding.
        mask: (batch, positions), True = valid.
        means: (batch, mixtures), means of the Gaussians, in positions from 0.
        previous: (batch, positions), weights of the previous step.
        pace: (batch, 1), factor of every step of the means, 1 by default.
    """

    memory: PerUtterance
    mask: PerUtterance
    means: Tensor
    previous: Tensor
    pace: Tensor


class GMMAttention(Attention):
    """GMM attention: weights(n) = Σ_k ω_k exp(-(n - μ_k)² p_k) / Z over positions n.

    ω_k, μ_k and p_k are weight, mean and precision of Gaussian k. At each step, μ_k grows by Δ_k. Z
    is the sum over the valid positions, so that all weight is on the last position when the means
    are beyond it. A tanh layer and a projection predict ω, Δ and p from the query: in "v2b"
    (Battenberg 2020), ω = softmax / (√(2π) σ), p = 1 / (2 σ²), and Δ and σ are softplus functions;
    in "graves" (Graves 2013), ω, Δ and p are exponentials.

    Args:
        query_dim: width of the queries, the hidden states of the decoder.
        config: a `GMMConfig`, whose `build` makes the module.
    """

    monotonic = True

    def __init__(self, query_dim: int, config: GMMConfig) -> None:
        super().__init__()
        self.reading, self.config = config.reading, config
        self.hidden = nn.Linear(query_dim, config.dim)
        self.mixture = nn.Linear(config.dim, 3 * config.mixtures)
        nn.init.xavier_uniform_(self.hidden.weight, gain=nn.init.calculate_gain("tanh"))
        nn.init.xavier_uniform_(self.mixture.weight, gain=0.1)  # near the biases at first
        nn.init.zeros_(self.hidden.bias)
        nn.init.zeros_(self.mixture.bias)
        if config.version == "v2b":
            _, step, width = self.mixture.bias.detach().chunk(3)
            step.fill_(_inverse_softplus(FIRST_STEP))
            width.fill_(_inverse_softplus(FIRST_WIDTH))

    def start(self, memory: Memory, memory_mask: MemoryMask) -> GMMState:
        """Prepare a memory, once per utterance; the mechanism needs no keys.

        Args:
            memory: (batch, positions, memory_dim), output of the encoder.
            memory_mask: (batch, positions), True = valid.

        Returns:
            The state before the first step, with all means at position 0.
        """
        memory = zero_padding(memory, memory_mask)
        previous = first_alignment(memory, memory_mask, self.reading)
        means = previous.new_zeros(len(memory), self.config.mixtures)
        return GMMState(memory, memory_mask, means, previous, previous.new_ones(len(memory), 1))

    def forward(self, query: Query, state: GMMState) -> tuple[Context, Weights, GMMState]:
        """Run one step of attention.

        Args:
            query: (batch, query_dim), hidden states of the decoder.
            state: result of `start` or of the previous step.

        Returns:
            Context (batch, memory_dim), attention weights (batch, positions), and the next state.
        """
        raw = at_least_float32(self.mixture(torch.tanh(self.hidden(query))))
        log_weight, step, precision = (_graves if self.config.version == "graves" else _v2b)(raw)
        means = state.means + state.pace * step
        position = torch.arange(state.mask.shape[1], device=raw.device)
        distance = (position - means.unsqueeze(2)).square()
        log_density = log_weight.unsqueeze(2) - precision.unsqueeze(2) * distance
        energies = log_density.logsumexp(1)
        read = attend(energies, state.memory, state.mask, self.reading, state.previous)
        means = means if self.reading.through_previous else means.detach()
        return *read, state._replace(means=means, previous=read.weights)


def _graves(raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log weight, step of the mean, and precision of each Gaussian, (batch, mixtures) each."""
    weight, step, precision = raw.chunk(3, dim=1)
    return weight, step.clamp(max=FASTEST).exp(), precision.clamp(max=SHARPEST).exp()


def _v2b(raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    weight, step, width = raw.chunk(3, dim=1)
    sigma = F.softplus(width.clamp(min=NARROWEST))
    log_weight = weight.log_softmax(1) - sigma.log() - 0.5 * math.log(2 * math.pi)
    return log_weight, F.softplus(step), 0.5 / sigma.square()


def _inverse_softplus(x: float) -> float:
    return math.log(math.expm1(x))
