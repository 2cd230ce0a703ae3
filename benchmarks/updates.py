"""Training updates as timed steps: ours by the trainer's code, a peer's with equal settings."""

from collections.abc import Callable
from typing import Any

import torch
from contract import Step
from torch import Tensor, nn

from speechseq.training.config import TrainerConfig
from speechseq.training.train_step import Batch, Loss, Losses, TrainStep

CONFIG = TrainerConfig()


def trainers_update(
    model: nn.Module,
    loss: Loss,
    batch: Batch,
    device: torch.device,
    made: Callable[[Any], Tensor],
    *,
    bf16: bool = False,
) -> Step:
    """Return a step that makes the Trainer's update of one of our models.

    `made` picks the step's result from the model's output.
    """
    model.to(device).train()
    kept: list[Tensor] = []

    def keeping(output: Any, batch: Any, *, update: int) -> Losses:
        kept[:] = [made(output)]
        return loss(output, batch, update=update)

    train_step = TrainStep(
        model, keeping, _adam(model), clip_norm=CONFIG.clip_norm, bf16=bf16, device=device
    )

    def step() -> Tensor:
        train_step([batch], 1)
        return kept.pop().detach()

    return step


def plain_update(
    model: nn.Module, forward: Callable[[], tuple[Tensor, Tensor]], device: torch.device
) -> Step:
    """Return a step that makes an equal update of any model.

    `forward` returns the step's result and the loss.
    """
    model.to(device).train()
    optimizer = _adam(model)

    def step() -> Tensor:
        optimizer.zero_grad()
        made, loss = forward()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CONFIG.clip_norm or float("inf"))
        optimizer.step()
        return made.detach()

    return step


def _adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(
        model.parameters(),
        lr=CONFIG.learning_rate,
        betas=CONFIG.betas,
        eps=CONFIG.eps,
        weight_decay=CONFIG.weight_decay,
        fused=True,
    )
