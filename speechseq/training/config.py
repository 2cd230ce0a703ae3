"""Settings of a training run."""

import dataclasses
from typing import Annotated, Literal

from speechseq.config import Config, choice
from speechseq.ranges import BelowOne, Count, Every, Factor, Items, Range, Seed, Text
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
    """Settings of a run of a `Trainer`; the defaults are Tacotron 2's where the paper gives them.

    Attributes:
        updates: total number of updates of the run, including those before a resume.
        optimizer: "adam" adds weight_decay to the gradient (L2); "adamw" decays the weights.
        learning_rate: learning rate, multiplied by the schedule's factor.
        betas: decay rates of the optimizer's two moments.
        eps: constant in the optimizer's denominator.
        weight_decay: factor of the weights in their decay, see `optimizer`.
        schedule: schedule of the learning rate, a factor that depends only on the update's number.
        clip_norm: maximum norm of all gradients together; None for no limit.
        accumulate: batches per update, each weighted by its valid frames or tokens.
        amp: "bf16" computes model and loss under bfloat16 autocast.
        ema_decay: decay of an exponential moving average of the weights, which is validated and
            saved; None validates and saves the weights themselves.
        log_every: updates between lines of the log.
        validate_every: updates between validations, in addition to those at checkpoints.
        checkpoint_every: updates between checkpoints.
        keep: number of newest checkpoints to keep.
        best_by: name of a value of the validation; the checkpoint that minimises it is kept as
            `best`.
        most_skips: consecutive updates with non-finite numbers after which the run fails.
        seed: seed of all random numbers of the training.
        max_seconds: time limit in seconds, after which a checkpoint is saved and the run ends; a
            resumed run has the whole time again.
        tensorboard: write the log as event files for tensorboard too.
        resume: resume from the newest checkpoint in the run's folder. False refuses a folder that
            has a checkpoint.
        init: checkpoint or run folder with the initial weights of a new run (see `warm_start`); ""
            for random weights. The flag of recipes is --init.
        freeze: parts of the model whose weights and running statistics stay as they are, such as
            ("encoder", "decoder.core.attention"). The flag of recipes is --freeze.
        on_collapse: what happens when the alignment of a Tacotron collapses (see
            `findings.collapsed`): "warn" says so, "stop" ends the run with an error, "restart"
            draws the attention's weights anew, "raise_r" doubles the frames per decoder step.

    Examples:
        >>> from speechseq.training.schedule import ExponentialConfig
        >>> config = TrainerConfig(updates=30_000, schedule=ExponentialConfig(), ema_decay=0.999)
        >>> TrainerConfig.from_dict(config.to_dict()) == config
        True
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
    on_collapse: Literal["warn", "stop", "restart", "raise_r"] = "warn"
    freeze: Annotated[tuple[Annotated[str, Text(200)], ...], Items(0, 1000)] = ()
