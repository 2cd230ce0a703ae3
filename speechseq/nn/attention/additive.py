"""Additive energies (Bahdanau 2015) that keep nothing of the tanh layer, a step's widest tensor."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from speechseq.nn.rows import by_utterance
from speechseq.shapes import Weights


def additive_energies(
    query: Float[Tensor, "batch dim"],
    keys: Float[Tensor, "utterances positions dim"],
    direction: Float[Tensor, " dim"],
    located: Float[Tensor, "batch positions filters"] | None = None,
    location: Float[Tensor, "dim filters"] | None = None,
) -> Weights:
    """Energies direction · tanh(query + keys + location located), (batch, positions).

    The layer (batch, positions, dim) is made again in the backward pass and never kept: at 800
    steps of 16 utterances that is 0.9 GB less, and one product, sum and tanh more a step.

    Args:
        query: projected to the width in which it meets the keys; k for each row of the keys, side
            by side.
        keys: of the memory, projected to the same width.
        direction: the weights of the last layer.
        located: what filters found around each position, if the mechanism has any.
        location: projects it to the same width.
    """
    if located is not None and location is not None:
        located, location = located.to(keys.dtype), location.to(keys.dtype)
    parts = query.to(keys.dtype), keys, direction.to(keys.dtype), located, location
    return _Energies.apply(*parts)


def _layer(query: Tensor, keys: Tensor, located: Tensor | None, location: Tensor | None) -> Tensor:
    """(batch, positions, dim)."""
    layer = keys.unsqueeze(1) + by_utterance(query, len(keys)).unsqueeze(2)
    flat = layer.view(-1, layer.shape[3])
    if located is not None and location is not None:
        flat.addmm_(located.reshape(-1, located.shape[2]), location.t())
    return _tanh_(layer).flatten(0, 1)


def _tanh_(x: Tensor) -> Tensor:
    """The tanh in its own place: on a CPU torch's sigmoid takes a tenth of the time of its tanh."""
    if x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64):
        return x.mul_(2).sigmoid_().mul_(2).sub_(1)
    return x.tanh_()


class _Energies(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        keys: Tensor,
        direction: Tensor,
        located: Tensor | None,
        location: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(query, keys, direction, located, location)
        return _layer(query, keys, located, location) @ direction

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, keys, direction, located, location = ctx.saved_tensors
        (gradient,) = gradients
        layer = _layer(query, keys, located, location)
        to_direction = gradient.flatten() @ layer.flatten(0, 1)
        below = layer.square_().neg_().add_(1)  # the slope of the tanh, in its own place
        below.mul_(direction).mul_(gradient.unsqueeze(2))
        to_query, to_keys = below.sum(1), by_utterance(below, len(keys)).sum(1)
        if located is None:
            return to_query, to_keys, to_direction, None, None
        to_location = below.flatten(0, 1).t() @ located.flatten(0, 1)
        return to_query, to_keys, to_direction, below @ location, to_location
