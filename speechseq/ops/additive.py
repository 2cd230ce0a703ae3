"""Additive energies (Bahdanau 2015); the backward pass recomputes the tanh layer to save memory."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from speechseq.eager import has_memory
from speechseq.ops.cpp.library import call, library
from speechseq.shapes import Weights

KERNELS = "speller"


def by_utterance(x: Tensor, utterances: int) -> Tensor:
    """Group adjacent rows by utterance: x (utterances · k, …) to (utterances, k, …).

    The k rows of an utterance are its hypotheses in a beam search; k is 1 in training.

    Args:
        x: (utterances · k, …).
        utterances: number of utterances.

    Returns:
        A view (utterances, k, …).
    """
    return x.view(utterances, -1, *x.shape[1:])


def fold_filters(
    filters: Float[Tensor, "filters channels kernel"], location: Float[Tensor, "dim filters"]
) -> Float[Tensor, "taps dim"]:
    """Multiply location filters by their projection, which follows them without a nonlinearity.

    Args:
        filters: (filters, channels, kernel), convolution weights.
        location: (dim, filters), weight of the projection of their output.

    Returns:
        One matrix (channels * kernel, dim), which maps a window of the history to the energies'
        tanh.
    """
    return torch.einsum("fck,df->ckd", filters, location).flatten(0, 1)


def additive_energies(
    query: Float[Tensor, "batch dim"],
    keys: Float[Tensor, "utterances positions dim"],
    direction: Float[Tensor, " dim"],
    history: Float[Tensor, "batch histories positions"] | None = None,
    filters: Float[Tensor, "filters histories kernel"] | None = None,
    location: Float[Tensor, "dim filters"] | None = None,
) -> Weights:
    """Compute energies (batch, positions) of additive attention.

    They are direction · tanh(query + keys + location conv(history)).

    The tanh layer (batch, positions, dim) is recomputed in the backward pass instead of saved: at
    800 steps of 16 utterances this saves 0.9 GB, for one more product, sum and tanh per step.
    Without gradients, in float32 on a CPU, one C++ kernel computes everything.

    Args:
        query: (batch, dim), projected to the width of the keys; the k queries of an utterance are
            adjacent.
        keys: (utterances, positions, dim), the projected memory.
        direction: (dim), weights of the last layer.
        history: (batch, channels, positions), which the filters read: the previous weights and, as
            a second channel, the sum of all weights (Chorowski 2015); None without filters.
        filters: (filters, channels, kernel), with an odd kernel; None without filters.
        location: (dim, filters), projection of the filters' output; None without filters.

    Returns:
        Energies of all positions, (batch, positions); padded positions are not masked.
    """
    if supported(query, keys, direction, history, filters, location):
        return _kernel(query, keys, direction, history, filters, location)
    located = None
    if history is not None and filters is not None and location is not None:
        located, location = _located(history, filters).to(keys.dtype), location.to(keys.dtype)
    parts = query.to(keys.dtype), keys, direction.to(keys.dtype), located, location
    if not has_memory(*parts):
        layer = by_utterance(parts[0], len(keys)).unsqueeze(2) + keys.unsqueeze(1)
        around = 0.0 if located is None or location is None else located @ location.t()
        return torch.tanh(layer.flatten(0, 1) + around) @ parts[2]
    return _Energies.apply(*parts) if torch.is_grad_enabled() else _energies(*parts)


def supported(*parts: Tensor | None) -> bool:
    """Return True if the C++ kernel takes these tensors: float32, CPU, gradients disabled.

    Args:
        parts: the arguments of `additive_energies`; None is skipped.
    """
    return (
        not torch.is_grad_enabled()
        and has_memory(*parts)
        and all(x is None or (x.dtype == torch.float32 and x.device.type == "cpu") for x in parts)
        and library(KERNELS) is not None
    )


def _kernel(
    query: Tensor,
    keys: Tensor,
    direction: Tensor,
    history: Tensor | None,
    filters: Tensor | None,
    location: Tensor | None,
) -> Tensor:
    rows, (utterances, positions, dim) = len(query), keys.shape
    count, histories, kernel = (0, 0, 1) if filters is None else filters.shape
    energies = query.new_empty(rows, positions)
    parts = (query, keys, direction, history, filters, location)
    contiguous = (None if x is None else x.contiguous() for x in parts)
    sizes = (rows, utterances, positions, dim, histories, count, kernel)
    call(KERNELS, "additive_energies", *contiguous, energies, *sizes)
    return energies


def _located(history: Tensor, filters: Tensor) -> Tensor:
    """Output of the location filters, (batch, positions, filters)."""
    # weights are zero on padding, and so is a history of weights, so padding has no effect
    half_width = filters.shape[2] // 2
    reach = min(half_width, history.shape[2] - 1)  # taps beyond would read only zeros
    padded = F.pad(history.to(filters.dtype), (reach, reach))
    return F.conv1d(padded, filters[:, :, half_width - reach : half_width + reach + 1]).transpose(
        1, 2
    )


def _energies(
    query: Tensor,
    keys: Tensor,
    direction: Tensor,
    located: Tensor | None,
    location: Tensor | None,
) -> Tensor:
    rows, positions = query.shape[0], keys.shape[1]
    if not _sigmoid_is_faster(keys):
        return _tanh(query, keys, located, location) @ direction
    layer = _sum(query, keys, located, location, 2.0).sigmoid_()
    energies = torch.addmv(-direction.sum(), layer, direction, alpha=2)
    return energies.view(rows, positions)


def _tanh(query: Tensor, keys: Tensor, located: Tensor | None, location: Tensor | None) -> Tensor:
    """The tanh layer (batch, positions, dim)."""
    if _sigmoid_is_faster(keys):
        layer = _sum(query, keys, located, location, 2.0).sigmoid_().mul_(2).sub_(1)
    else:
        layer = _sum(query, keys, located, location, 1.0).tanh_()
    return layer.view(query.shape[0], keys.shape[1], -1)


def _sum(
    query: Tensor, keys: Tensor, located: Tensor | None, location: Tensor | None, factor: float
) -> Tensor:
    """factor × the argument of the tanh, (batch × positions, dim)."""
    layer = keys.unsqueeze(1) + by_utterance(query, len(keys)).unsqueeze(2)
    flat = layer.view(-1, layer.shape[3])
    if located is not None and location is not None:
        around = located.reshape(-1, located.shape[2])
        return flat.addmm_(around, location.t(), beta=factor, alpha=factor)
    return flat.mul_(factor) if factor != 1.0 else flat


def _sigmoid_is_faster(x: Tensor) -> bool:
    """tanh x = 2 sigmoid 2x - 1: on a CPU torch's sigmoid takes a tenth of the time of its tanh."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)


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
        return _energies(query, keys, direction, located, location)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, keys, direction, located, location = ctx.saved_tensors
        (grad_energies,) = gradients
        layer = _tanh(query, keys, located, location)
        grad_direction = grad_energies.flatten() @ layer.flatten(0, 1)
        grad_argument = layer.square_().neg_().add_(1)  # the derivative of tanh, in place
        grad_argument.mul_(direction).mul_(grad_energies.unsqueeze(2))
        grad_query, grad_keys = grad_argument.sum(1), by_utterance(grad_argument, len(keys)).sum(1)
        if located is None:
            return grad_query, grad_keys, grad_direction, None, None
        grad_location = grad_argument.flatten(0, 1).t() @ located.flatten(0, 1)
        return grad_query, grad_keys, grad_direction, grad_argument @ location, grad_location
