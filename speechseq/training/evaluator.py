"""Validation and samples of a model in training, without an effect on its training."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from torch import nn

from speechseq.errors import ConfigError
from speechseq.nn.eval_mode import evaluating
from speechseq.training.ema import EMA
from speechseq.training.resume import aside
from speechseq.training.samples import Sample, write

Validate = Callable[[nn.Module], Mapping[str, float]]
MakeSamples = Callable[[nn.Module], Sequence[Sample]]


class Evaluator:
    """Runs validation and samples of a model in training, without an effect on the training.

    A `Trainer` calls `validation` and `write_samples`. The model is in evaluation mode and has its
    averaged weights (EMA) if there are any. Each evaluation starts from `seed`, so that the results
    of different updates are comparable. Afterwards modes, weights and random states are restored.

    Args:
        model: model in training.
        ema: moving average of its weights, or None.
        seed: seed of every evaluation.
        validate: function that takes the model and returns values by name, such as "loss" or "wer";
            None for no validation.
        samples: function that takes the model and returns samples to write; None for none.
        best_by: name of the value of `validate` that is to be minimised; None for none.

    Raises:
        ConfigError: `best_by` is given without `validate`.
    """

    def __init__(
        self,
        model: nn.Module,
        ema: EMA | None,
        *,
        seed: int,
        validate: Validate | None,
        samples: MakeSamples | None,
        best_by: str | None,
    ) -> None:
        if best_by is not None and validate is None:
            raise ConfigError(
                "best_by: nothing is validated",
                "leave --trainer.best_by null, or have the recipe validate",
            )
        self._model, self._ema, self._seed = model, ema, seed
        self._validate, self._samples, self._best_by = validate, samples, best_by

    def validation(self) -> dict[str, float]:
        """Run the function `validate` and return its values by name; {} if there is none."""
        if self._validate is None:
            return {}
        with self._evaluating():
            return {name: float(value) for name, value in self._validate(self._model).items()}

    def write_samples(self, run: Path, update: int) -> list[str]:
        """Make samples, and write their pictures and sounds; return what went wrong, as messages.

        Args:
            run: folder of the run; files go to its pictures/ and audio/.
            update: number of the update, with which the files' names begin.

        Returns:
            A message for each sample that could not be written.

        Raises:
            MachineError: the disk is full.
        """
        if self._samples is None:
            return []
        with self._evaluating():
            samples = self._samples(self._model)
        return write(run, update, samples)

    def is_better(self, validation: Mapping[str, float], best: float | None) -> bool:
        """Return True if this validation is the best so far, the smallest value called `best_by`.

        Args:
            validation: values by name.
            best: smallest value before; None if there is none.

        Raises:
            ConfigError: `best_by` is not a name of a value.
        """
        if self._best_by is None:
            return False
        if self._best_by not in validation:
            problem = f"best_by: validation gives no {self._best_by!r}"
            raise ConfigError(problem, f"it gives: {', '.join(validation)}")
        value = validation[self._best_by]
        return not math.isnan(value) and (best is None or value < best)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """A context with eval mode, EMA weights and random numbers from the seed."""
        mean = self._ema.applied() if self._ema is not None else nullcontext()
        with aside(self._seed), mean, torch.no_grad(), evaluating(self._model):
            yield
