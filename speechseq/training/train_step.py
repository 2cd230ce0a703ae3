"""One optimizer update: weighted gradient accumulation, clipping, and skipping if not finite."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm


@runtime_checkable
class Batch(Protocol):
    """Protocol of a batch that a `Trainer` can train on, such as `TTSBatch`.

    Attributes:
        weight: number of valid frames (or tokens), the batch's weight in means over batches.
        to: method that returns the batch on another device.
    """

    @property
    def weight(self) -> int: ...
    def to(self, device: torch.device | str) -> Any: ...


@runtime_checkable
class Batches(Protocol):
    """Protocol of an endless iterator over batches, which a `Trainer` trains on.

    `next(batches)` is the next batch. `state_dict` has the position in the data, which a checkpoint
    stores, and `load_state_dict` restores it when a run resumes.
    """

    def __next__(self) -> Any: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@runtime_checkable
class Losses(Protocol):
    """Protocol of what a loss returns, such as `speechseq.models.loss_terms.Losses`.

    Attributes:
        total: scalar to minimise, on which `backward` is called.
        terms: scalars by name, to log.
    """

    @property
    def total(self) -> Tensor: ...
    @property
    def terms(self) -> Mapping[str, Tensor]: ...


@runtime_checkable
class Loss(Protocol):
    """Protocol of a loss that a `Trainer` minimises, such as `TacotronLoss`.

    It is called as `loss(model(batch), batch, update=update)`, where `update` is the number of
    optimizer updates, and returns `Losses`: means over valid frames or tokens.
    """

    def __call__(self, output: Any, batch: Any, *, update: int) -> Losses: ...


@runtime_checkable
class FollowsUpdates(Protocol):
    """Protocol of a model that changes with the number of optimizer updates, such as a LAS.

    `TrainStep` calls `at_update(update)` before each update, if the model has this method. A LAS
    sets its depth and its rate of scheduled sampling there.
    """

    def at_update(self, update: int) -> None: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """Result of one optimizer update, by `TrainStep`.

    Attributes:
        terms: means of the loss and its terms by name, "total" included, as tensors on the device,
            so that nothing waits for it.
        gradient_norm: norm of all gradients, before clipping.
        weight: number of valid frames or tokens in the update's batches.
        applied: False if a loss or gradient was not finite and the model was left unchanged.
    """

    terms: dict[str, Tensor]
    gradient_norm: float
    weight: int
    applied: bool


class TrainStep:
    """Makes one optimizer update of a model: `step(batches, update)` returns a `Report`.

    The batches of an update are weighted by their valid frames or tokens. If a loss or gradient is
    not finite, the model is left unchanged.

    Args:
        model: called as `model(batch)`.
        loss: called as `loss(output, batch, update=update)`.
        optimizer: optimizer of the model's parameters.
        clip_norm: maximum norm of the gradients of all parameters together; None for no limit.
        bf16: run model and loss under bfloat16 autocast; it needs no loss scaling.
        device: device that batches are moved to.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        *,
        clip_norm: float | None,
        bf16: bool,
        device: torch.device,
    ) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.clip_norm, self.bf16, self.device = clip_norm, bf16, device

    def __call__(self, batches: Sequence[Batch], update: int) -> Report:
        """Make one update, with the mean loss of all batches, weighted by their `weight`."""
        weight = sum(batch.weight for batch in batches)
        if isinstance(self.model, FollowsUpdates):
            self.model.at_update(update)
        before = [buffer.clone() for buffer in self.model.buffers()]
        terms: dict[str, Tensor] = {}
        self.optimizer.zero_grad(set_to_none=True)
        for batch in batches:
            share = batch.weight / weight
            losses = self._losses(batch.to(self.device), update)
            (losses.total * share).backward()
            for name, value in (("total", losses.total), *losses.terms.items()):
                terms[name] = terms.get(name, 0.0) + value.detach().float() * share
        norm, applied = self._step(terms["total"], before)
        return Report(terms=terms, gradient_norm=norm, weight=weight, applied=applied)

    def _losses(self, batch: Any, update: int) -> Losses:
        with self._autocast():
            return self.loss(self.model(batch), batch, update=update)

    def _autocast(self) -> AbstractContextManager:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    def _step(self, total: Tensor, before: Sequence[Tensor]) -> tuple[float, bool]:
        """Clip and step; if not finite, restore buffers that the forward pass changed instead."""
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
        # one synchronisation per update instead of one for each number
        loss, length = torch.stack([total, norm.to(total)]).tolist()
        if not (math.isfinite(loss) and math.isfinite(length)):
            for buffer, value in zip(self.model.buffers(), before, strict=True):
                buffer.copy_(value)
            return length, False
        if self.clip_norm is not None:
            clip_grads_with_norm_(parameters, self.clip_norm, norm)
        self.optimizer.step()
        return length, True
