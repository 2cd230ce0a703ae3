"""The numbers of a training run."""

import dataclasses
from typing import Literal

from speechseq.config import Config, choice
from speechseq.errors import ConfigError
from speechseq.training.schedule import (
    ConstantConfig,
    CosineConfig,
    ExponentialConfig,
    InverseSquareRootConfig,
    ScheduleConfig,
    StepsConfig,
)

_POSITIVE = (
    *("updates", "learning_rate", "eps", "accumulate", "log_every", "checkpoint_every", "keep"),
    "most_skips",
)
_POSITIVE_OR_NONE = ("clip_norm", "validate_every", "max_seconds")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainerConfig(Config):
    """How to train; the defaults are Tacotron 2's where the paper names them.

    Attributes:
        updates: where the run ends, counted from its first start.
        optimizer: adam adds weight_decay to the gradient (L2), adamw takes it off the weights.
        schedule: multiplies learning_rate, by the update's number alone.
        clip_norm: the most that all gradients together may measure; None for no limit.
        accumulate: batches an update is made of, each weighing what it holds.
        amp: bf16 computes model and loss under bfloat16 autocast.
        ema_decay: validate and save the weights' running mean of this decay; None for their own.
        validate_every: besides at every checkpoint.
        checkpoint_every, keep: updates between checkpoints; how many of the newest stay.
        best_by: the validation value whose lowest checkpoint stays too, linked as `best`.
        most_skips: updates in a row without finite numbers, after which the run gives up.
        max_seconds: ends this start of the run, with a checkpoint, after so long.
        resume: go on from the newest checkpoint in the run's folder; otherwise refuse one.
    """

    updates: int = 100_000
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-6
    weight_decay: float = 1e-6
    schedule: ScheduleConfig = choice(
        ConstantConfig,
        ExponentialConfig,
        InverseSquareRootConfig,
        StepsConfig,
        CosineConfig,
        default=ConstantConfig(),
    )
    clip_norm: float | None = 1.0
    accumulate: int = 1
    amp: Literal["off", "bf16"] = "off"
    ema_decay: float | None = None
    log_every: int = 50
    validate_every: int | None = None
    checkpoint_every: int = 1000
    keep: int = 3
    best_by: str | None = None
    most_skips: int = 10
    seed: int = 0
    max_seconds: float | None = None
    tensorboard: bool = True
    resume: bool = True

    def check(self) -> None:
        """Raise ConfigError for numbers out of range."""
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}: {getattr(self, name)} is not positive")
        for name in _POSITIVE_OR_NONE:
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ConfigError(f"{name}: {getattr(self, name)} is neither positive nor null")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ConfigError(f"ema_decay: {self.ema_decay} is not between 0 and 1", "try 0.999")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas: {self.betas} are not both at least 0 and below 1")
        if self.weight_decay < 0 or self.seed < 0:
            raise ConfigError("weight_decay and seed must not be negative")
