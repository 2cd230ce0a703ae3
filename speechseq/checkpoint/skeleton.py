"""Compare a model with the weights meant for it before any memory is given to it."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def shapeless_build(build: Callable[[], nn.Module], weights: int) -> dict[str, Tensor]:
    """The state dict of what `build` makes, without memory behind it.

    Args:
        weights: how many tensors are expected; a build of far more parts is stopped.

    Raises:
        ValueError: it has far more parts than that.
    """
    with _BoundedParts(weights), torch.device("meta"):
        return build().state_dict()


def differences(weights: Mapping[str, Tensor], skeleton: Mapping[str, Tensor]) -> str:
    """In which names and shapes the weights differ from the skeleton's, or ""."""
    wrong = [f"missing {name}" for name in sorted(skeleton.keys() - weights.keys())]
    wrong += [f"unexpected {name}" for name in sorted(weights.keys() - skeleton.keys())]
    wrong += [
        f"{name} is {tuple(weights[name].shape)}, expected {tuple(expected.shape)}"
        for name, expected in skeleton.items()
        if name in weights and weights[name].shape != expected.shape
    ]
    more = f"; and {len(wrong) - 6} more" if len(wrong) > 6 else ""
    return "; ".join(wrong[:6]) + more


class _BoundedParts:
    """Stop a build that registers far more parts than there are weights (a billion layers)."""

    def __init__(self, weights: int) -> None:
        self.left = 1000 + 20 * weights  # modules without weights outnumber those with, but not so

    def _count(self, *_: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise ValueError("it has many more parts than the checkpoint has weights")

    def __enter__(self) -> None:
        register = nn.modules.module
        self.handles = [
            register.register_module_parameter_registration_hook(self._count),
            register.register_module_module_registration_hook(self._count),
        ]

    def __exit__(self, *_: Any) -> None:
        for handle in self.handles:
            handle.remove()
