"""Teacher-forced loss on held-out batches, for the argument `validate` of a Trainer."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from speechseq.training.train_step import Loss


class Means:
    """Weighted means of values by name, over the batches of a validation.

    Call `add` for each batch and `read` at the end. A name's mean is over the batches that have it.
    """

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._weights: dict[str, int] = {}

    def add(self, values: Mapping[str, float | Tensor], weight: int) -> None:
        """Add the values of one batch, by name, with the weight of the batch."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value) * weight
            self._weights[name] = self._weights.get(name, 0) + weight

    def read(self) -> dict[str, float]:
        """Return the mean of each name, in the order in which they came."""
        return {name: value / self._weights[name] for name, value in self._sums.items()}


def held_out_loss(
    loss: Loss, batches: Callable[[], Iterable[Any]]
) -> Callable[[nn.Module], dict[str, float]]:
    """Make a function, for `validate` of a Trainer, that returns the loss on held-out batches.

    It takes a model and returns, by name, the total as "loss" and each term. Batches are weighted
    by their valid frames or tokens, so the mean does not depend on the batching. Terms that fade
    with updates have their value at update 0.

    Args:
        loss: the loss that the Trainer minimises.
        batches: function called at each validation, which returns every held-out batch once.
    """

    @torch.no_grad()
    def validate(model: nn.Module) -> dict[str, float]:
        means = Means()
        for batch in on_device(model, batches()):
            means.add(loss_by_term(loss, model(batch), batch), batch.weight)
        return means.read()

    return validate


def loss_by_term(loss: Loss, output: Any, batch: Any) -> dict[str, Tensor]:
    """Return the loss of one held-out batch by name: the total as "loss", and each term.

    Args:
        loss: loss as of a `Trainer`; it is called at update 0.
        output: output of the model for the batch.
        batch: the batch.
    """
    losses = loss(output, batch, update=0)
    return {"loss": losses.total, **losses.terms}


def on_device(model: nn.Module, batches: Iterable[Any]) -> Iterator[Any]:
    """Iterate over batches, moved to the device of the model."""
    device = next(model.parameters()).device
    for batch in batches:
        yield batch.to(device)
