"""Interface of attention mechanisms, and `attend`, which turns the energies of all into weights.

A mechanism is a Config with `build(query_dim, memory_dim)` and a module with two methods:
`start(memory, memory_mask) -> state`, called once per utterance, which projects the keys, and
`forward(query, state) -> (context, weights, state)`, called each step. The state is a NamedTuple of
batch-first tensors (or of tuples of them), passed in and out and never kept on the module: there is
nothing to reset, and a beam search re-orders any mechanism by indexing the tuple.

A beam search has k queries per utterance, and a state has a row for each of them. Fields that no
step changes may be annotated `PerUtterance` instead of Tensor: they keep one row per utterance,
whatever k is, which all queries of the utterance read. `attend`, `additive_energies` and
`dot_energies` accept such a memory, mask and keys, so a mechanism made of these functions need not
know k.

A mechanism passes its `reading` (see `reading.py`) to `attend`, and, for a window, the weights of
the previous step, which it keeps in its state. Then it can be sharpened, smoothed or windowed like
any other mechanism, in training and on a trained module.
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

    `reading` determines how energies become weights. It has no parameters and may be replaced on a
    trained module: with `attention.reading = ReadingConfig(window=20)` it can read memories longer
    than those of its training.
    """

    reading: ReadingConfig = PLAIN

    def start(self, memory: Memory, memory_mask: MemoryMask) -> Any:
        """Return the state before the first step."""
        raise NotImplementedError

    def forward(self, query: Query, state: Any) -> tuple[Context, Weights, Any]:
        """Run one step: context (batch, memory_dim), weights (batch, positions), the next state."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionConfig(Config):
    """Settings of a mechanism, and its `reading`; `build` makes the module."""

    reading: ReadingConfig = PLAIN

    def build(self, query_dim: int, memory_dim: int) -> Attention:
        """Build the mechanism for queries and memories of these widths."""
        raise NotImplementedError


class Read(NamedTuple):
    """Result of one attention step: context (batch, memory_dim) and weights (batch, positions)."""

    context: Tensor
    weights: Tensor


def attend(
    energies: Weights,
    memory: Float[Tensor, "utterances positions memory_dim"],
    memory_mask: Bool[Tensor, "utterances positions"],
    reading: ReadingConfig = PLAIN,
    previous: Weights | None = None,
) -> Read:
    """Turn energies (batch, positions) into weights, and average the memory with them.

    The weights are a distribution over valid positions, exactly 0 on padding, and at least float32,
    also under mixed precision.

    Args:
        energies: k adjacent rows for each row of the memory; k is 1 outside of a beam search.
        reading: how energies become weights; a mechanism passes its own `reading`.
        previous: the weights of the previous step; only a window needs them.

    Raises:
        ConfigError: `reading` has a window and there is no `previous`.
    """
    grouped = by_utterance(energies, len(memory))
    grouped_previous = None if previous is None else by_utterance(previous, len(memory))
    weights = weigh(grouped, memory_mask.unsqueeze(1), reading, grouped_previous)
    context = torch.bmm(weights.to(memory.dtype), memory)
    return Read(context.flatten(0, 1), weights.flatten(0, 1))
