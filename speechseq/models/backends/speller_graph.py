"""A speller's step from a CUDA graph, for the search on a GPU."""

from collections.abc import Callable, Hashable
from collections.abc import Sequence as Series
from typing import Any

import torch
from torch import Tensor

from speechseq.nn.attention_rnn import StepWeights
from speechseq.nn.rows import regroup_rows, standing
from speechseq.ops.cuda_graph import Graphs
from speechseq.ops.triton.launch import next_power_of_2


def graph_step(
    graphs: Graphs,
    step: Callable[[Tensor, Any], tuple],
    weights: Series[Tensor],
    tokens: Tensor,
    state: Any,
    key: Hashable,
) -> Any:
    """`step(tokens, state)`, recorded for a power of two of utterances.

    The last utterance is there again and again up to that number, so that few graphs serve a batch
    whose utterances end one after another.

    Args:
        step: makes a NamedTuple of tensors and states with a row for each token.
        weights, key: all that it reads besides, and what else it depends on.
    """
    utterances = standing(state)
    width, each = next_power_of_2(utterances), len(tokens) // utterances
    if width == utterances:
        return graphs(step, (tokens, state), weights, key)
    everyone = torch.arange(width, device=tokens.device)
    filled = everyone.clamp(max=utterances - 1)
    rows = (filled.unsqueeze(1) * each + torch.arange(each, device=tokens.device)).flatten()
    made = graphs(step, (tokens[rows], regroup_rows(state, rows, filled)), weights, key)
    true = torch.arange(len(tokens), device=tokens.device)
    return regroup_rows(made, true, everyone[:utterances])


def weights_of(ready: StepWeights) -> list[Tensor]:
    """What the products of a step read."""
    products = [product for own in ready.products for product in own]
    biases = [product.bias for product in products if product.bias is not None]
    return [*(product.buffer.weight for product in products), *biases, *ready.biases]
