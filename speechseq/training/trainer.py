"""Trainer: the training loop, with validation, logging, checkpoints and exact resuming."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from speechseq.errors import ConfigError, DataError, MachineError
from speechseq.training.config import TrainerConfig
from speechseq.training.device import usable_device
from speechseq.training.ema import EMA
from speechseq.training.evaluator import Evaluator, MakeSamples, Validate
from speechseq.training.freezing import freeze, frozen_line, hold_statistics
from speechseq.training.log import Log
from speechseq.training.meter import Meter, Stopwatch
from speechseq.training.monitor import Monitor
from speechseq.training.optimizer import build_optimizer, set_learning_rate
from speechseq.training.progress import Progress
from speechseq.training.resizing import follow_schedule
from speechseq.training.resume import seed_everything
from speechseq.training.run_folder import LAST, RunFolder
from speechseq.training.saving import Counters, ModelDescription, Saver
from speechseq.training.signals import Interrupted, StopRequest
from speechseq.training.train_step import Batches, Loss, Report, TrainStep
from speechseq.training.warm_start import WarmStart, warm_start


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """Result of a training run, returned by `Trainer.run`.

    Attributes:
        updates: number of optimizer updates, those of earlier sessions of a resumed run included.
        skipped: number of updates that were skipped because of non-finite losses or gradients.
        seconds: duration of the training.
        losses: means over the last updates, by name of the loss term.
        validation: numbers of the last validation, by name; empty without one.
        checkpoint: folder of the last checkpoint.
        finished_reason: "updates" at the last update, "time" if `max_seconds` ended the run.
    """

    updates: int
    skipped: int
    seconds: float
    losses: dict[str, float]
    validation: dict[str, float]
    checkpoint: Path
    finished_reason: Literal["updates", "time"]


class Trainer:
    """Trains a model in a run's folder; resumes from its newest checkpoint if there is one.

    Args:
        model: model that is called as `model(batch)`; it is moved to the device.
        loss: called as `loss(output, batch, update=...)`; its result has `total` and `terms`.
        batches: endless batches, each with `to(device)` and `weight`, its valid frames or tokens.
        config: settings of the run: number of updates, optimizer, schedule, checkpoints.
        run: folder for checkpoints/, log.jsonl, pictures/, audio/ and tensorboard/.
        about: model, audio settings and vocabulary, which checkpoints store with the weights.
        validate: function of the model in eval mode, which returns numbers to log, by name.
        samples: function of the model in eval mode, which returns sounds and pictures to store.
        device: device to train on, such as "cpu" or "cuda".

    Raises:
        ConfigError: settings contradict each other, or there is no part to freeze of this name.
        MachineError: there is no such device.

    Examples:
        >>> trainer = Trainer(model, loss, batches, config, run="runs/first", about=about)
        >>> summary = trainer.run()  # once more, and it resumes from the last checkpoint
        update 2: total ...
        >>> summary.updates == config.updates, summary.finished_reason
        (True, 'updates')
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        batches: Batches,
        config: TrainerConfig,
        *,
        run: Path | str,
        about: ModelDescription,
        validate: Validate | None = None,
        samples: MakeSamples | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self._device = usable_device(device)
        self._model, self._batches, self._config = model.to(self._device), batches, config
        self._run, self._about, self._counters = Path(run), about, Counters()
        freeze(model, config.freeze)
        self._optimizer = build_optimizer(model, config)
        self._ema = EMA(model, config.ema_decay) if config.ema_decay is not None else None
        self._evaluator = Evaluator(
            model,
            self._ema,
            seed=config.seed,
            validate=validate,
            samples=samples,
            best_by=config.best_by,
        )
        self._monitor = Monitor(model, self._optimizer, self._ema, config)
        self._train_step = TrainStep(
            model,
            loss,
            self._optimizer,
            clip_norm=config.clip_norm,
            bf16=config.amp == "bf16",
            device=self._device,
        )
        self._losses: dict[str, float] = {}
        self._validation: dict[str, float] = {}

    def run(self) -> Summary:
        """Train to the last update, or until the time limit; the last checkpoint is always written.

        Raises:
            Interrupted: a signal such as Ctrl-C or SIGTERM came; the update is finished and saved.
            DataError: too many updates in a row are not finite, or a collapse stops the run.
            CheckpointError: no checkpoint of the run is intact, or `init` does not fit the model.
            MachineError: the disk, or the memory of the device, is full.
        """
        with RunFolder(self._run) as folder, StopRequest() as self._stop_request:
            self._begin(folder)
            counters, config = self._counters, self._config
            with (
                Log(self._run, update=counters.update, tensorboard=config.tensorboard) as self._log,
                Progress(config.updates, counters.update) as self._progress,
            ):
                self._train()
        if self._stop_request.signal is not None:
            raise Interrupted(self._stop_request.signal)
        return Summary(
            updates=counters.update,
            skipped=counters.skipped,
            seconds=counters.seconds,
            losses=self._losses,
            validation=self._validation,
            checkpoint=folder.checkpoints / LAST,
            finished_reason="updates" if counters.update >= config.updates else "time",
        )

    def _train(self) -> None:
        counters, config = self._counters, self._config
        start = {"event": "start", "config": config.to_dict()}
        self._log.write(counters.update, start | self._monitor.begin(self._run))
        self._report_warm_start()
        while not self._is_over():
            batches = self._take()
            report = self._updated(batches, counters.update + 1)
            counters.update += 1
            if self._ema is not None:
                self._ema.update(counters.update)
            self._account_for(report, batches)
            if self._due(config.log_every):
                self._log_losses()
            if self._due(config.checkpoint_every):
                self._checkpoint()
            elif self._due(config.validate_every) or self._monitor.is_early(counters.update):
                self._validate()
        if self._saved != counters.update:
            self._checkpoint()

    def _begin(self, folder: RunFolder) -> None:
        """Resume from the newest checkpoint, or start a new run."""
        config, newest = self._config, folder.newest()
        if newest is not None and not config.resume:
            problem = f"{newest}: the run's folder already holds a checkpoint"
            cure = "--trainer.resume true to go on from it, or --run DIR for another folder"
            raise ConfigError(problem, cure)
        parts = (self._model, self._optimizer, self._ema, self._batches)
        raises_r = config.on_collapse == "raise_r"
        self._saver = Saver(folder, self._about, *parts, keep=config.keep, raises_r=raises_r)
        self._model.train()
        hold_statistics(self._model, config.freeze)
        seed_everything(config.seed)
        saved = self._saver.load()
        self._warm = self._warm_start() if saved is None and config.init else None
        self._counters = saved or Counters()
        self._saved = saved.update if saved is not None else None
        self._validated: int | None = None
        self._seconds_before = self._counters.seconds
        self._meter, self._watch = Meter(self._device), Stopwatch()
        self._skips_in_a_row = 0

    def _warm_start(self) -> WarmStart:
        about, init = self._about, self._config.init
        warm = warm_start(self._model, about.vocabulary, init, about.audio, config=about.model)
        if self._ema is not None:
            self._ema.load(self._model.state_dict())
        return warm

    def _report_warm_start(self) -> None:
        if self._warm is not None:
            self._log.write(0, {"event": "init", **self._warm.to_dict()})
            self._progress.say(self._warm.line())
        elif self._config.init:
            self._progress.say(
                f"init: ignored, since {self._run} is at update {self._counters.update}"
            )
        if parts := self._config.freeze:
            self._progress.say(frozen_line(self._model, parts))

    def _is_over(self) -> bool:
        limit = math.inf if self._config.max_seconds is None else self._config.max_seconds
        over = self._counters.update >= self._config.updates or self._watch.total() >= limit
        self._watch.lap()  # the time before, as for checkpoints, does not count for the update
        return over or self._stop_request.signal is not None

    def _due(self, every: int | None) -> bool:
        return every is not None and self._counters.update % every == 0

    def _take(self) -> list[Any]:
        try:
            return [next(self._batches) for _ in range(self._config.accumulate)]
        except StopIteration:
            problem = f"update {self._counters.update + 1}: there are no more batches"
            raise DataError(problem, "batches must be endless: begin the next epoch") from None

    def _updated(self, batches: list[Any], update: int) -> Report:
        rate = self._config.learning_rate * self._config.schedule.factor(update)
        set_learning_rate(self._optimizer, rate)
        follow_schedule(self._model, update, self._optimizer, self._ema)
        try:
            return self._train_step(batches, update)
        except torch.OutOfMemoryError:
            problem = (
                f"update {update}: the memory of {self._device} is full; batch: {_ids(batches)}"
            )
            cure = "make batches of fewer frames, and --trainer.accumulate more of them"
            raise MachineError(problem, cure) from None

    def _account_for(self, report: Report, batches: list[Any]) -> None:
        counters = self._counters
        self._meter.add(report, self._watch.lap())
        self._progress.advance()
        counters.seconds = self._seconds_before + self._watch.total()
        if report.applied:
            self._skips_in_a_row = 0
            return
        ids = _ids(batches)
        counters.skipped += 1
        self._skips_in_a_row += 1
        self._log.write(counters.update, {"event": "skipped", "ids": ids})
        problem = f"update {counters.update}: loss or gradient not finite, skipped; batch: {ids}"
        self._progress.say(problem)
        if self._skips_in_a_row >= self._config.most_skips:
            problem += f"; {self._skips_in_a_row} such updates in a row"
            raise DataError(problem, "lower --trainer.learning_rate, or listen to these utterances")

    def _log_losses(self) -> None:
        counters, values = self._counters, self._meter.read()
        self._losses = values["loss"] or self._losses
        place = {
            "epoch": getattr(self._batches, "epoch", 0),
            "learning_rate": self._optimizer.param_groups[0]["lr"],
            "seconds": counters.seconds,
            "skipped": counters.skipped,
        }
        self._log.write(counters.update, values | place)
        self._progress.losses(counters.update, values["loss"], values["frames_per_second"])

    def _checkpoint(self) -> None:
        """Validate, save and write samples; only save after a request to stop."""
        counters, quick = self._counters, self._stop_request.signal is not None
        if not self._meter.is_empty:  # means span no checkpoint, so a resumed run logs the same
            self._log_losses()
        try:
            found = {} if quick else self._validate()
            if found and self._evaluator.is_better(found, counters.best):
                counters.best = found[self._config.best_by or ""]
                counters.best_update = counters.update
        finally:  # an error in the validation must not lose the updates up to here
            self._saver.save(counters)
            self._saved = counters.update
        if not quick:
            for problem in self._evaluator.write_samples(self._run, counters.update):
                self._progress.say(problem)

    def _validate(self) -> Mapping[str, float]:
        if self._validated == self._counters.update:
            return self._validation
        self._validated = self._counters.update
        if found := self._evaluator.validation():
            self._validation = found
            self._monitor.report(self._counters, found, self._losses, self._log, self._progress.say)
        return found


def _ids(batches: list[Any]) -> list[str]:
    return [name for batch in batches for name in getattr(batch, "ids", ())]
