"""Weights of one reduction factor in a model of another: the projection to frames is fitted."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from speechseq.errors import ConfigError

HEAD = ("decoder.frames.weight", "decoder.frames.bias")  # of a Tacotron, r * mels rows each


def fit_reduction(
    weights: Mapping[str, Tensor], before: int, after: int, mels: int
) -> dict[str, Tensor]:
    """Convert a Tacotron's weights to another reduction factor, the frames per decoder step.

    The first min(before, after) frames of a step keep their rows of the projection, in order;
    further frames repeat the rows of the last one. All other weights are returned as they are, and
    nothing is changed in place.

    Args:
        weights: a state dict of a Tacotron.
        before: reduction factor of `weights`.
        after: reduction factor of the result.
        mels: number of mel bands.

    Returns:
        The converted state dict.

    Raises:
        ConfigError: a factor below 1, or a projection that does not have before * mels rows.
    """
    if min(before, after, mels) < 1:
        problem = f"reduction factors {before} and {after} of {mels} mels"
        raise ConfigError(problem, "use whole numbers from 1")
    frames = torch.arange(after).clamp(max=before - 1)
    rows = (mels * frames.unsqueeze(1) + torch.arange(mels)).flatten()
    fitted = dict(weights)
    for name in HEAD:
        if name not in weights:
            continue
        if len(weights[name]) != before * mels:
            problem = f"{name}: {len(weights[name])} rows, not {before} frames of {mels} mels"
            raise ConfigError(problem, "give the reduction factor that the weights were made with")
        fitted[name] = weights[name].index_select(0, rows.to(weights[name].device))
    return fitted


def resize_head(head: nn.Linear, before: int, after: int, mels: int) -> None:
    """Convert a decoder's projection to frames to another reduction factor, in place.

    Rows are kept or repeated as by `fit_reduction`; gradients are dropped.

    Args:
        head: projection with before * mels outputs.
        before: present reduction factor.
        after: new reduction factor.
        mels: number of mel bands.
    """
    parameters = dict(zip(HEAD, (head.weight, head.bias), strict=True))
    values = {name: parameter.detach() for name, parameter in parameters.items()}
    for name, value in fit_reduction(values, before, after, mels).items():
        _replace_values(parameters[name], value)
    head.out_features = after * mels


def _replace_values(parameter: Tensor, values: Tensor) -> None:
    """Give a parameter values of another shape, in place; its gradient is dropped."""
    parameter.grad = None
    # a graph that is still alive keeps the parameter's node of autograd, which expects the old
    # shape; torch makes another node when the dtype changes, not when the shape does
    other = torch.float32 if parameter.dtype == torch.float64 else torch.float64
    parameter.data = values.new_empty(0, dtype=other)
    parameter.data = values
