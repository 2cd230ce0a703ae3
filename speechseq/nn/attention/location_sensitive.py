"""Location-sensitive attention (Chorowski 2015): energies also depend on previous weights."""

import dataclasses
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.errors import ConfigError
from speechseq.nn.attention.additive import AdditiveAttention, called_energies
from speechseq.nn.attention.contract import AttentionConfig, attend
from speechseq.nn.attention.reading import first_alignment
from speechseq.nn.masks import zero_padding
from speechseq.nn.rows import PerUtterance
from speechseq.ops.additive import additive_energies, fold_filters
from speechseq.ranges import Kernel, Width
from speechseq.shapes import Context, Memory, MemoryMask, Query, Weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocationSensitiveConfig(AttentionConfig):
    """Settings of location-sensitive attention; the defaults are Tacotron 2's (Shen 2018).

    Attributes:
        dim: width of the tanh layer.
        filters: number of location filters; Chorowski uses 10 for speech recognition.
        kernel: width of a filter in positions, odd; Chorowski uses 201.
        history: input of the filters: the weights of the previous step (Chorowski), or also the sum
            of all weights so far (Tacotron 2).

    Examples:
        >>> from speechseq.nn.masks import length_mask
        >>> attention = LocationSensitiveConfig(kernel=15).build(query_dim=16, memory_dim=8)
        >>> state = attention.start(torch.randn(2, 5, 8), length_mask(torch.tensor([5, 3])))
        >>> context, weights, state = attention(torch.randn(2, 16), state)
        >>> context.shape, weights[1, 3:].tolist()
        (torch.Size([2, 8]), [0.0, 0.0])
    """

    kind: ClassVar[str] = "location_sensitive"
    dim: Width = 128
    filters: Width = 32
    kernel: Kernel = 31
    history: Literal["previous", "previous_and_cumulative"] = "previous_and_cumulative"

    def check(self) -> None:
        """Raise ConfigError for an even kernel, which would shift the weights."""
        if self.kernel % 2 == 0:
            raise ConfigError(f"kernel: {self.kernel} is even", "use an odd width, such as 31")

    def build(self, query_dim: int, memory_dim: int) -> "LocationSensitiveAttention":
        """Build the module.

        Args:
            query_dim: width of the queries, the hidden states of the decoder.
            memory_dim: width of the memory, the output of the encoder.
        """
        return LocationSensitiveAttention(query_dim, memory_dim, self)


class LocationState(NamedTuple):
    """State of `LocationSensitiveAttention` between two steps.

    Attributes:
        memory: (batch, positions, memory_dim), zero in the padding.
        mask: (batch, positions), True = valid.
        keys: (batch, positions, dim), the projected memory.
        history: (batch, 1 or 2, positions), the previous weights and, if it is used, the sum of all
            weights so far.
    """

    memory: PerUtterance
    mask: PerUtterance
    keys: PerUtterance
    history: Tensor


class LocationSensitiveAttention(AdditiveAttention):
    """Location-sensitive attention: energies = v · tanh(W query + V memory + U conv(history)).

    The history is the previous weights and, by default, the sum of all weights so far. Gradients
    flow through the history, as in Chorowski's work (2015), unless `reading.through_previous` is
    False.

    Args:
        query_dim: width of the queries, the hidden states of the decoder.
        memory_dim: width of the memory, the output of the encoder.
        config: a `LocationSensitiveConfig`, whose `build` makes the module.
    """

    def __init__(self, query_dim: int, memory_dim: int, config: LocationSensitiveConfig) -> None:
        super().__init__()
        self.reading = config.reading
        channels = 2 if config.history == "previous_and_cumulative" else 1
        self.query = nn.Linear(query_dim, config.dim, bias=False)
        self.key = nn.Linear(memory_dim, config.dim, bias=False)
        self.energy = nn.Linear(config.dim, 1, bias=False)
        self.filters = nn.Conv1d(channels, config.filters, config.kernel, bias=False)
        self.location = nn.Linear(config.filters, config.dim, bias=False)
        self.reach, self.channels = config.kernel // 2, channels
        for layer in (self.query, self.key, self.location):
            nn.init.xavier_uniform_(layer.weight, gain=nn.init.calculate_gain("tanh"))
        nn.init.xavier_uniform_(self.filters.weight)

    def start(self, memory: Memory, memory_mask: MemoryMask) -> LocationState:
        """Project the memory to keys, once per utterance.

        Args:
            memory: (batch, positions, memory_dim), output of the encoder.
            memory_mask: (batch, positions), True = valid.

        Returns:
            The state before the first step.
        """
        memory = zero_padding(memory, memory_mask)
        first = first_alignment(memory, memory_mask, self.reading)
        history = torch.stack([first, torch.zeros_like(first)], 1)[:, : self.channels]
        return LocationState(memory, memory_mask, self.key(memory), history)

    def forward(self, query: Query, state: LocationState) -> tuple[Context, Weights, LocationState]:
        """Run one step of attention.

        Args:
            query: (batch, query_dim), hidden states of the decoder.
            state: result of `start` or of the previous step.

        Returns:
            Context (batch, memory_dim), attention weights (batch, positions), and the next state.
        """
        energies = self._energies(self.query(query), state.keys, state.history)
        read = attend(energies, state.memory, state.mask, self.reading, state.history[:, 0])
        return *read, state._replace(history=self._remember(read.weights, state.history))

    def folded(self) -> Tensor:
        """Multiply the location filters by their projection, for kernels.

        Returns:
            One matrix (channels · kernel, dim), which maps a window of the history to the tanh
            layer: channels is 1 (previous weights) or 2 (with the sum of all weights), kernel the
            width of a filter, and dim that of the tanh layer.
        """
        return fold_filters(self.filters.weight, self.location.weight)

    def read_layers(self) -> tuple[nn.Module, ...]:
        """Return the layers whose weights kernels read.

        They are the projection of the query, the last layer (energies), the location filters and
        the projection of the filters' output.
        """
        return self.query, self.energy, self.filters, self.location

    def _energies(self, query: Tensor, keys: Tensor, history: Tensor) -> Tensor:
        if not self.is_readable():
            located = self.filters(F.pad(history.to(keys.dtype), (self.reach, self.reach)))
            around = self.location(located.transpose(1, 2).flatten(0, 1))
            return called_energies(query, keys, self.energy, around)
        layers = self.energy.weight[0], history, self.filters.weight, self.location.weight
        return additive_energies(query, keys, *layers)

    def _remember(self, weights: Tensor, history: Tensor) -> Tensor:
        if not self.reading.through_previous:
            weights = weights.detach()
        latest = weights.unsqueeze(1)
        return torch.cat([latest, history[:, 1:] + latest], dim=1)
