"""What every attention mechanism promises, and the one place where energies become weights.

A mechanism is a Config with `build(query_dim, memory_dim)` and a module with two calls:
`start(memory, memory_mask) -> state`, once an utterance, where keys are projected, and
`forward(query, state) -> (context, weights, state)`, each step. The state is a NamedTuple of
batch-first tensors (or of tuples of them), handed in and out and never kept on the module: there is
nothing to reset, and a beam search re-orders any mechanism by indexing the tuple.

A beam asks with k queries an utterance, and a state has a row for each of them. Fields that no step
changes may be annotated `Standing` instead of Tensor: they keep one row an utterance, whatever k
is, and all its queries read that. `attend`, `additive_energies` and `dot_energies` take such a
memory, mask and keys as they are, so a mechanism made of these need not know what k is.

A mechanism hands its `reading` (see `reading.py`) to `attend`, and, for a window, the weights of
the step before, which it keeps in its state. Then it can be sharpened, smoothed or windowed like
every other, in training and on a trained module.
"""

import dataclasses
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from speechseq.config import Config
from speechseq.nn.attention.reading import ReadingConfig, weigh
from speechseq.ops.additive import by_utterance
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
    memory: Float[Tensor, "utterances positions memory_dim"],
    memory_mask: Bool[Tensor, "utterances positions"],
    reading: ReadingConfig = PLAIN,
    previous: Weights | None = None,
) -> Read:
    """Energies (batch, positions) to weights, and the memory's mean by these weights.

    The weights are a distribution over valid positions, exactly 0 on padding, and in float32 at
    least, also under mixed precision.

    Args:
        energies: k rows for each row of the memory, side by side; k is 1 outside of a beam.
        reading: how energies become weights; a mechanism gives its own `reading` here.
        previous: the weights of the step before; only a window needs them.

    Raises:
        ConfigError: `reading` has a window and there is no `previous`.
    """
    asked = by_utterance(energies, len(memory))
    before = None if previous is None else by_utterance(previous, len(memory))
    weights = weigh(asked, memory_mask.unsqueeze(1), reading, before)
    context = torch.bmm(weights.to(memory.dtype), memory)
    return Read(context.flatten(0, 1), weights.flatten(0, 1))
