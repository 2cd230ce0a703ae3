"""What every attention mechanism promises, and the one place where energies become weights.

A mechanism is a Config with `build(query_dim, memory_dim)` and a module with two calls:
`start(memory, memory_mask) -> state`, once an utterance, where keys are projected, and
`forward(query, state) -> (context, weights, state)`, each step. The state is a NamedTuple of
batch-first tensors (or of tuples of them), handed in and out and never kept on the module: there is
nothing to reset, and a beam search re-orders any mechanism by indexing the tuple. What a step does
not change comes back as the very same tensor, so a search can see that it need not be copied.

A mechanism hands its `reading` (see `reading.py`) to `attend`, and, for a window, the weights of
the step before, which it keeps in its state. Then it can be sharpened, smoothed or windowed like
every other, in training and on a trained module.
"""

import dataclasses
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from speechseq.config import Config
from speechseq.nn.attention.reading import ReadingConfig, weigh
from speechseq.shapes import Context, Memory, MemoryMask, Query, Weights

PLAIN = ReadingConfig()


class Attention(nn.Module):
    """A mechanism that reads a memory (batch, positions, memory_dim) by queries.

    `reading` holds how its energies become weights. It owns no parameters and may be replaced on a
    trained module: `attention.reading = ReadingConfig(window=20)` reads what is longer than all
    that it was trained on.
    """

    reading: ReadingConfig = PLAIN

    def start(self, memory: Memory, memory_mask: MemoryMask) -> Any:
        """The state before the first step."""
        raise NotImplementedError

    def forward(self, query: Query, state: Any) -> tuple[Context, Weights, Any]:
        """One step: context (batch, memory_dim), weights (batch, positions), the next state."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionConfig(Config):
    """Numbers of a mechanism, and how it reads; `build` makes its module."""

    reading: ReadingConfig = PLAIN

    def build(self, query_dim: int, memory_dim: int) -> Attention:
        """The mechanism for queries and memories of these widths."""
        raise NotImplementedError


class Read(NamedTuple):
    """What is read at a step: context (batch, memory_dim) and weights (batch, positions)."""

    context: Tensor
    weights: Tensor


def attend(
    energies: Weights,
    memory: Memory,
    memory_mask: MemoryMask,
    reading: ReadingConfig = PLAIN,
    previous: Weights | None = None,
) -> Read:
    """Energies (batch, positions) to weights, and the memory's mean by these weights.

    The weights are a distribution over valid positions, exactly 0 on padding, and in float32 at
    least, also under mixed precision.

    Args:
        reading: how energies become weights; a mechanism gives its own `reading` here.
        previous: the weights of the step before; only a window needs them.

    Raises:
        ConfigError: `reading` has a window and there is no `previous`.
    """
    weights = weigh(energies, memory_mask, reading, previous)
    context = torch.bmm(weights.to(memory.dtype).unsqueeze(1), memory).squeeze(1)
    return Read(context, weights)
