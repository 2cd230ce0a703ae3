"""What every attention mechanism promises, and the one place where energies become weights.

A mechanism is a Config with `build(query_dim, memory_dim)` and a module with two calls:
`start(memory, memory_mask) -> state`, once an utterance, where keys are projected, and
`forward(query, state) -> (context, weights, state)`, each step. The state is a NamedTuple of
batch-first tensors, handed in and out and never kept on the module: there is nothing to reset,
and a beam search re-orders any mechanism by indexing the tuple.
"""

import dataclasses
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from speechseq.config import Config
from speechseq.nn.precision import at_least_float32
from speechseq.shapes import Context, Memory, MemoryMask, Query, Weights


class Attention(nn.Module):
    """A mechanism that reads a memory (batch, positions, memory_dim) by queries."""

    def start(self, memory: Memory, memory_mask: MemoryMask) -> Any:
        """The state before the first step."""
        raise NotImplementedError

    def forward(self, query: Query, state: Any) -> tuple[Context, Weights, Any]:
        """One step: context (batch, memory_dim), weights (batch, positions), the next state."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionConfig(Config):
    """Numbers of a mechanism; `build` makes its module."""

    def build(self, query_dim: int, memory_dim: int) -> Attention:
        """The mechanism for queries and memories of these widths."""
        raise NotImplementedError


class Read(NamedTuple):
    """What is read at a step: context (batch, memory_dim) and weights (batch, positions)."""

    context: Tensor
    weights: Tensor


def attend(energies: Weights, memory: Memory, memory_mask: MemoryMask) -> Read:
    """Energies (batch, positions) to weights by a masked softmax, and the memory's weighted mean.

    Padding gets exactly 0. The softmax is in float32 at least, also under mixed precision.
    """
    masked = at_least_float32(energies).masked_fill(~memory_mask, float("-inf"))
    weights = torch.softmax(masked, dim=-1)
    context = torch.bmm(weights.to(memory.dtype).unsqueeze(1), memory).squeeze(1)
    return Read(context, weights)
