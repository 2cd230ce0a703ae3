"""Steering of a trained attention from outside, through the fields of its state: window and pace.

A mechanism can have a window if its state, or the states of its heads, have a field `mask` and no
step changes it; it can be slowed down if they have a field `pace`. Mechanisms that are monotonic by
themselves need no window.
"""

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from speechseq.errors import ConfigError
from speechseq.nn.attention.reading import median
from speechseq.shapes import MemoryMask, Weights

Reached = Int[Tensor, " batch"]


def window_mask(reached: Reached, memory_mask: MemoryMask, window: int) -> MemoryMask:
    """Compute which positions the next step may attend to, through a window that moves forward.

    They are the valid ones from window // 2 behind the furthest position reached to `window` ahead.

    Args:
        reached: (batch), furthest position that attention has reached in each row.
        memory_mask: (batch, positions), True = valid.
        window: number of positions ahead that may be read.

    Returns:
        Mask (batch, positions), True for these positions.
    """
    position = torch.arange(memory_mask.shape[1], device=reached.device)
    ahead = position - reached.unsqueeze(1)
    return memory_mask & (ahead >= -(window // 2)) & (ahead <= window)


def next_reached(reached: Reached, weights: Weights) -> Reached:
    """Update the furthest position that attention has reached, after one more step.

    Args:
        reached: (batch), furthest median position of the steps so far.
        weights: (batch, positions), attention weights of the new step; their median position
            counts.

    Returns:
        Furthest positions (batch).
    """
    return torch.maximum(reached, median(weights))


def needs_window(attention: nn.Module) -> bool:
    """Return False for mechanisms that can only move forward, and True for all others.

    Args:
        attention: the mechanism.
    """
    return not getattr(attention, "monotonic", False)


def check_window(attention: nn.Module, state: Any) -> None:
    """Raise ConfigError if the attention of a mechanism cannot be limited to a window by a mask.

    Args:
        attention: the mechanism, named in the message.
        state: result of its `start`. It must have a field `mask`, or, for multi-head attention, the
            states of the heads must have one.
    """
    if not _has(state, "mask"):
        raise ConfigError(
            f"window: the state of {type(attention).__name__} has no mask to narrow",
            "leave out --safe, or train a model with location-sensitive attention",
        )


def with_mask(state: Any, mask: MemoryMask) -> Any:
    """Return a mechanism's state with another mask, which limits where the next step attends.

    Args:
        state: state of a mechanism; with several heads, the states of all heads get the mask.
        mask: (batch, positions), True where attention is allowed.
    """
    return _replaced(state, "mask", mask)


def with_pace(attention: nn.Module, state: Any, pace: float) -> Any:
    """Return the state of a mechanism that moves `pace` times as fast through the text.

    Args:
        attention: the mechanism, named in the message of an error.
        state: result of its `start`.
        pace: factor of the speed; 1 changes nothing, with any mechanism.

    Raises:
        ConfigError: the mechanism's speed cannot be set: its state has no field `pace`.
    """
    if pace == 1.0:
        return state
    if not _has(state, "pace"):
        raise ConfigError(
            f"length_scale: the speed of {type(attention).__name__} cannot be set",
            "leave it at 1, or train a model with GMM attention, whose speed can be",
        )
    return _replaced(state, "pace", pace)


def _has(state: Any, name: str) -> bool:
    fields = getattr(state, "_fields", ())
    return name in fields or (isinstance(state, tuple) and any(_has(x, name) for x in state))


def _replaced(state: Any, name: str, value: Tensor | float) -> Any:
    """A nested state with another value in every field of that name."""
    if not isinstance(state, tuple):
        return state
    fields = getattr(state, "_fields", ("",) * len(state))
    parts = [
        (torch.full_like(part, value) if isinstance(value, float) else value)
        if field == name
        else _replaced(part, name, value)
        for field, part in zip(fields, state, strict=True)
    ]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
