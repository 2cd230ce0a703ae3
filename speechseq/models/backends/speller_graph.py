"""Speller whose step is replayed from a CUDA graph. Experimental: never run on a GPU."""

from collections.abc import Callable
from collections.abc import Sequence as Series
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from speechseq.nn.attention_rnn import StepWeights
from speechseq.nn.attention_rnn_fast import reading_of
from speechseq.nn.rows import num_utterances, regroup_rows
from speechseq.ops.cuda_graph import GraphCache
from speechseq.ops.triton.launch import next_power_of_2
from speechseq.shapes import Memory, MemoryMask

State = TypeVar("State", bound=tuple)
Spelled = TypeVar("Spelled", bound=tuple)


class GraphSpeller(Generic[State, Spelled]):
    """Speller for one search whose step is replayed from a CUDA graph.

    `Speller.prepare` makes it on a GPU. A search calls `start` once and then `step` for each
    symbol. Graphs are captured for 1, 2, 4, 8, … utterances only, and a batch is padded to the next
    of these sizes by repeating its last utterance: few graphs then serve a batch whose utterances
    end one after another.

    Args:
        graphs: cache of the captured graphs.
        start: function that computes the state before the first step from memory and mask.
        step: function of tokens (rows) and state that computes a step; its result is a NamedTuple
            of tensors and states with one row per token.
        weights: all other tensors that `step` reads.
        attention: attention mechanism; if its `reading` is replaced, new graphs are captured.
    """

    def __init__(
        self,
        graphs: GraphCache,
        start: Callable[[Memory, MemoryMask], State],
        step: Callable[[Tensor, State], Spelled],
        weights: Series[Tensor],
        attention: nn.Module,
    ) -> None:
        self.graphs, self.start, self.plain = graphs, start, step
        self.weights, self.attention = weights, attention

    def step(self, tokens: Tensor, state: State) -> Spelled:
        """Run one step on `tokens` (rows), the previous symbol of each hypothesis.

        `state` is the result of `start` or of the previous step; the result is that of the
        constructor's `step`.
        """
        utterances, reading = num_utterances(state), reading_of(self.attention)
        width, each = next_power_of_2(utterances), len(tokens) // utterances
        if width == utterances:
            return self.graphs(self.plain, (tokens, state), self.weights, reading)
        everyone = torch.arange(width, device=tokens.device)
        filled = everyone.clamp(max=utterances - 1)
        rows = (filled.unsqueeze(1) * each + torch.arange(each, device=tokens.device)).flatten()
        arguments = tokens[rows], regroup_rows(state, rows, filled)
        spelled = self.graphs(self.plain, arguments, self.weights, reading)
        own = torch.arange(len(tokens), device=tokens.device)
        return regroup_rows(spelled, own, everyone[:utterances])


def tensors_of(weights: StepWeights) -> list[Tensor]:
    """List the weights and biases of all layers in the result of `AttentionRNN.prepare`."""
    products = [product for own in weights.products for product in own]
    biases = [product.bias for product in products if product.bias is not None]
    return [*(product.buffer.weight for product in products), *biases, *weights.biases]
