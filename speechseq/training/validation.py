"""Teacher-forced loss on held-out batches, for the argument `validate` of a Trainer."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import nn

from speechseq.training.train_step import Loss


def held_out_loss(
    loss: Loss, batches: Callable[[], Iterable[Any]]
) -> Callable[[nn.Module], dict[str, float]]:
    """Make a validation function that returns the loss, by term and in total, on held-out batches.

    Batches are weighted by their valid frames or tokens, so the mean does not depend on the
    batching. Terms that fade with updates have their value at update 0.

    Args:
        loss: loss, see `Trainer`.
        batches: function called at each validation, which returns every held-out batch once.
    """

    @torch.no_grad()
    def validate(model: nn.Module) -> dict[str, float]:
        device = next(model.parameters()).device
        sums: dict[str, float] = {}
        weight = 0.0
        for batch in _on(device, batches()):
            losses = loss(model(batch), batch, update=0)
            for name, term in {"loss": losses.total, **losses.terms}.items():
                sums[name] = sums.get(name, 0.0) + float(term) * batch.weight
            weight += batch.weight
        return {name: value / weight for name, value in sums.items()}

    return validate


def _on(device: torch.device, batches: Iterable[Any]) -> Iterator[Any]:
    for batch in batches:
        yield batch.to(device)
