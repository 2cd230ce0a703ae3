"""Settings of a training run."""

import dataclasses
from typing import Annotated, Literal

from speechseq.config import Config, choice
from speechseq.ranges import BelowOne, Count, Every, Factor, Range, Seed
from speechseq.training.schedule import (
    ConstantConfig,
    CosineConfig,
    ExponentialConfig,
    InverseSquareRootConfig,
    ScheduleConfig,
    StepsConfig,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainerConfig(Config):
    """Settings of a training run; the defaults are Tacotron 2's where the paper gives them.

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
        init: a checkpoint or run folder whose weights a new run begins with (see `warm_start`);
            "" for random ones. Recipes take it as --init.
    """

    updates: Every = 100_000
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: Annotated[float, Range(0, 100, above=True)] = 1e-3
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    eps: Annotated[float, Range(0, 1, above=True)] = 1e-6
    weight_decay: Annotated[float, Range(0, 100)] = 1e-6
    schedule: ScheduleConfig = choice(
        ConstantConfig,
        ExponentialConfig,
        InverseSquareRootConfig,
        StepsConfig,
        CosineConfig,
        default=ConstantConfig(),
    )
    clip_norm: Factor | None = 1.0
    accumulate: Annotated[int, Range(1, 100_000)] = 1
    amp: Literal["off", "bf16"] = "off"
    ema_decay: Annotated[float, Range(0, 1, above=True, below=True)] | None = None
    log_every: Every = 50
    validate_every: Every | None = None
    checkpoint_every: Every = 1000
    keep: Count = 3
    best_by: str | None = None
    most_skips: Count = 10
    seed: Seed = 0
    max_seconds: Factor | None = None
    tensorboard: bool = True
    resume: bool = True
    init: str = ""
