"""Interface of attention mechanisms, and `attend`, which all of them use to normalise energies.

A mechanism is a Config with `build(query_dim, memory_dim)` and a module with two methods:
`start(memory, memory_mask) -> state`, called once per utterance, which projects the keys, and
`forward(query, state) -> (context, weights, state)`, called at each step. The state is a NamedTuple
of batch-first tensors (or of tuples of them), passed in and out and never stored on the module:
nothing has to be reset, and a beam search re-orders the state of any mechanism by indexing its
tensors.

A beam search has k queries per utterance, and the state has a row for each query. State fields that
no step changes may be annotated `PerUtterance` instead of Tensor: they keep one row per utterance,
which all k queries of the utterance share. `attend`, `additive_energies` and `dot_energies` accept
memory, mask and keys with such shared rows, so a mechanism made of these functions need not know k.

A mechanism passes its `reading` (see `reading.py`) to `attend`, and, for a window, the weights of
the previous step, which it keeps in its state. This gives every mechanism the options of
sharpening, smoothing and windows, in training and on a trained module.
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
    """Base class of attention mechanisms over a memory (batch, positions, memory_dim).

    `AttentionConfig.build(query_dim, memory_dim)` makes one. A decoder calls `start` once per batch
    and then the module itself (`forward`) once per step; a subclass implements both. Its state is a
    NamedTuple of tensors whose first axis is the batch.

    Attributes:
        reading: a `ReadingConfig`, which determines how energies become weights. It has no
            parameters and may be replaced on a trained module: with `attention.reading =
            ReadingConfig(window=20)` the module can read memories longer than those that it was
            trained on.
        monotonic: True if by construction the attended position can only stay or move forward.
    """

    reading: ReadingConfig = PLAIN
    monotonic: bool = False

    @property
    def draws(self) -> bool:
        """Return True if a step draws random numbers, so that no CUDA graph may capture it."""
        return False

    def start(self, memory: Memory, memory_mask: MemoryMask) -> Any:
        """Project the memory to keys, once per utterance.

        Args:
            memory: (batch, positions, memory_dim), output of the encoder.
            memory_mask: (batch, positions), True = valid.

        Returns:
            The state before the first step.
        """
        raise NotImplementedError

    def forward(self, query: Query, state: Any) -> tuple[Context, Weights, Any]:
        """Run one step of attention.

        Args:
            query: (batch, query_dim), hidden states of the decoder.
            state: result of `start` or of the previous step.

        Returns:
            Context (batch, memory_dim), attention weights (batch, positions), and the next state.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionConfig(Config):
    """Base class of the settings of attention mechanisms; a subclass implements `build`.

    Attributes:
        reading: how energies become weights: sharpening, smoothing, windows; by default a plain
            softmax.
    """

    reading: ReadingConfig = PLAIN

    def build(self, query_dim: int, memory_dim: int) -> Attention:
        """Build the module.

        Args:
            query_dim: width of the queries, the hidden states of the decoder.
            memory_dim: width of the memory, the output of the encoder.
        """
        raise NotImplementedError


class Read(NamedTuple):
    """Result of `attend` for one step.

    Attributes:
        context: (batch, memory_dim), mean of the memory.
        weights: (batch, positions), attention weights.
    """

    context: Tensor
    weights: Tensor


def attend(
    energies: Weights,
    memory: Float[Tensor, "utterances positions memory_dim"],
    memory_mask: Bool[Tensor, "utterances positions"],
    reading: ReadingConfig = PLAIN,
    previous: Weights | None = None,
) -> Read:
    """Normalise energies to attention weights, and average the memory with these weights.

    Args:
        energies: (utterances · k, positions); the k queries of an utterance are adjacent rows. k is
            1 outside of a beam search.
        memory: (utterances, positions, memory_dim).
        memory_mask: (utterances, positions), True = valid.
        reading: options of the normalisation; a mechanism passes its own `reading`.
        previous: weights of the previous step, shaped as the energies; only a window needs them.

    Returns:
        Context (utterances · k, memory_dim) and weights (utterances · k, positions).

    Raises:
        ConfigError: `reading` has a window and `previous` is None.
    """
    grouped = by_utterance(energies, len(memory))
    grouped_previous = None if previous is None else by_utterance(previous, len(memory))
    weights = weigh(grouped, memory_mask.unsqueeze(1), reading, grouped_previous)
    context = torch.bmm(weights.to(memory.dtype), memory)
    return Read(context.flatten(0, 1), weights.flatten(0, 1))
