"""Stepwise monotonic attention (He, Deng and He 2019): each step stays or moves on by one position.

"Robust sequence-to-sequence acoustic modeling with stepwise monotonic attention for neural TTS"
(https://arxiv.org/abs/1906.00672). No position can be skipped or read twice.
"""

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.errors import ConfigError
from speechseq.nn.attention.content import ContentAttention, ContentConfig, ContentState
from speechseq.nn.attention.contract import AttentionConfig
from speechseq.nn.attention.reading import ReadingConfig, first_distribution
from speechseq.nn.precision import at_least_float32
from speechseq.ops.additive import by_utterance
from speechseq.ranges import Finite, Weight, Width
from speechseq.shapes import Context, Memory, MemoryMask, Query, Weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepwiseMonotonicConfig(AttentionConfig):
    """Settings of stepwise monotonic attention: sigmoid(energy) is the probability to stay.

    Attributes:
        dim: width of the tanh layer of the additive energies.
        noise: standard deviation of normal noise that is added to the energies in training, so that
            the model learns probabilities near 0 and 1.
        stay: initial bias of the energies. An untrained model stays at a position for
            1 / (1 - sigmoid(stay)) steps on average; choose `stay` so that this fits the data.

    Examples:
        >>> attention = StepwiseMonotonicConfig().build(query_dim=16, memory_dim=8).eval()
        >>> state = attention.start(torch.randn(1, 3, 8), torch.ones(1, 3, dtype=torch.bool))
        >>> context, weights, state = attention(torch.randn(1, 16), state)
        >>> sorted(weights[0].tolist())  # hard in evaluation mode
        [0.0, 0.0, 1.0]
    """

    kind: ClassVar[str] = "stepwise_monotonic"
    dim: Width = 128
    noise: Weight = 2.0
    stay: Finite = 1.0

    def check(self) -> None:
        """Raise ConfigError if `reading` has smoothing, keep_top or a window."""
        _check(self.reading)

    def build(self, query_dim: int, memory_dim: int) -> "StepwiseMonotonicAttention":
        """Build the module.

        Args:
            query_dim: width of the queries, the hidden states of the decoder.
            memory_dim: width of the memory, the output of the encoder.
        """
        return StepwiseMonotonicAttention(query_dim, memory_dim, self)


class StepwiseMonotonicAttention(ContentAttention):
    """Stepwise monotonic attention: weights(n) = p(n) α(n) + (1 - p(n - 1)) α(n - 1) (He 2019).

    p = sigmoid(energies) is the probability to stay, and α are the previous weights. In training
    the weights are the expectation over all paths; in evaluation mode attention stays if p > 1/2
    and moves on otherwise. Attention never leaves the last valid position. Before the first step,
    all weight is on position 0, unless `reading.first` is "uniform".

    Args:
        query_dim: width of the queries, the hidden states of the decoder.
        memory_dim: width of the memory, the output of the encoder.
        config: a `StepwiseMonotonicConfig`, whose `build` makes the module.
    """

    monotonic = True

    def __init__(self, query_dim: int, memory_dim: int, config: StepwiseMonotonicConfig) -> None:
        super().__init__(query_dim, memory_dim, ContentConfig(dim=config.dim))
        self.reading, self.noise = config.reading, config.noise
        self.stay = nn.Parameter(torch.tensor([config.stay]))

    @property
    def draws(self) -> bool:
        """Return True if a step draws random numbers: in training mode, if the noise is not 0.

        Such a step is never captured in a CUDA graph.
        """
        return self.training and self.noise > 0

    @property
    def reading(self) -> ReadingConfig:
        """Settings by which energies become weights.

        Raises:
            ConfigError: smoothing, keep_top or window is set.
        """
        return self._reading

    @reading.setter
    def reading(self, reading: ReadingConfig) -> None:
        _check(reading)
        self._reading = reading

    def start(self, memory: Memory, memory_mask: MemoryMask) -> ContentState:
        """Project the memory to keys, once per utterance; return the state before the first step.

        Args:
            memory: (batch, positions, memory_dim), output of the encoder.
            memory_mask: (batch, positions), True = valid.
        """
        first = first_distribution(memory, memory_mask, self.reading)
        return super().start(memory, memory_mask)._replace(previous=first)

    def forward(self, query: Query, state: ContentState) -> tuple[Context, Weights, ContentState]:
        """Run one step of attention.

        Args:
            query: (batch, query_dim), hidden states of the decoder.
            state: result of `start` or of the previous step.

        Returns:
            Context (batch, memory_dim), attention weights (batch, positions), and the next state.
        """
        energies = at_least_float32(self._energies(self.query(query), state.keys) + self.stay)
        energies = self.reading.sharpening * energies
        if self.draws:
            energies = energies + self.noise * torch.randn_like(energies)
        utterances = len(state.memory)
        previous = by_utterance(state.previous, utterances)
        stay = self._staying(by_utterance(energies, utterances), previous, state.mask.unsqueeze(1))
        weights = stay * previous + F.pad((1 - stay) * previous, (1, -1))
        weights = weights / weights.sum(-1, keepdim=True)  # rounding would add up over many steps
        context = torch.bmm(weights.to(state.memory.dtype), state.memory).flatten(0, 1)
        weights = weights.flatten(0, 1)
        kept = weights if self.reading.through_previous else weights.detach()
        return context, weights, state._replace(previous=kept)

    def _staying(self, energies: Tensor, previous: Tensor, mask: Tensor) -> Tensor:
        """Share of each position's weight that stays, (utterances, k, positions)."""
        position = torch.arange(mask.shape[-1], device=mask.device)
        is_last = position == mask.sum(-1, keepdim=True) - 1
        stay = torch.where(is_last, 1.0, torch.sigmoid(energies))
        if self.training:
            return stay
        stays = (stay * previous).sum(-1, keepdim=True) > 0.5
        return (stays | is_last).to(stay.dtype)


def _check(reading: ReadingConfig) -> None:
    if not reading.is_plain:
        raise ConfigError(
            "reading: stepwise monotonic attention has no smoothing, keep_top or window",
            "leave them out: it moves by at most one position a step anyway",
        )
