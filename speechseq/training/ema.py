"""Exponential moving average of a model's weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class EMA:
    """Exponential moving average of a model's parameters (Polyak & Juditsky 1992).

    Call `update` after each optimizer update, and validate or save within `with ema.applied():`.
    After n updates the decay is min(decay, (1 + n) / (10 + n)), so that the random initialisation
    is soon forgotten. Buffers, such as running statistics, are means already and are not averaged.

    Args:
        model: the model whose parameters are averaged; the mean starts equal to them.
        decay: share of the old mean that an update keeps, below 1; 0.9999 averages over about
            10,000 updates.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._live = {n: p for n, p in model.named_parameters() if p.is_floating_point()}
        self.mean = {name: p.detach().clone() for name, p in self._live.items()}

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """Update the mean with the current weights; `updates` is the number of updates so far."""
        decay = min(self.decay, (1 + updates) / (10 + updates))
        torch._foreach_lerp_(list(self.mean.values()), list(self._live.values()), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Context manager: gives the model the averaged weights; restores its own at the end."""
        own = self.own()
        self._fill(self.mean)
        try:
            yield
        finally:
            self._fill(own)

    def own(self) -> dict[str, Tensor]:
        """Return a copy of the weights that the model has now, by name.

        Called outside of `applied`, these are the weights in training, not their mean.
        """
        return {name: p.detach().clone() for name, p in self._live.items()}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Load the averaged weights, a `state_dict` of the model saved inside `applied()`."""
        for name, mean in self.mean.items():
            mean.copy_(weights[name])

    @torch.no_grad()
    def _fill(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._live.items():
            parameter.copy_(values[name])
