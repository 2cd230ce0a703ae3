"""Looking at a model while it trains: validated, drawn and played, without changing its course."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from torch import nn

from speechseq.errors import ConfigError
from speechseq.training.ema import EMA
from speechseq.training.resume import aside
from speechseq.training.samples import Showcase, write

Validate = Callable[[nn.Module], Mapping[str, float]]
Show = Callable[[nn.Module], Sequence[Showcase]]


class Looker:
    """Shows others the model as it would be used: in eval mode, on its running mean if it has one.

    Whoever looks draws from `seed` each time, so that numbers of two updates compare; afterwards
    training goes on as if nobody had looked.

    Args:
        best_by: the value of `validate` whose lowest is the best.
    """

    def __init__(
        self,
        model: nn.Module,
        ema: EMA | None,
        *,
        seed: int,
        validate: Validate | None,
        show: Show | None,
        best_by: str | None,
    ) -> None:
        if best_by is not None and validate is None:
            raise ConfigError(
                "best_by: nothing is validated",
                "leave --trainer.best_by null, or have the recipe validate",
            )
        self._model, self._ema, self._seed = model, ema, seed
        self._validate, self._show, self._best_by = validate, show, best_by

    def validation(self) -> dict[str, float]:
        """The numbers of `validate`; none without one."""
        if self._validate is None:
            return {}
        with self._as_used():
            return {name: float(value) for name, value in self._validate(self._model).items()}

    def show(self, run: Path, update: int) -> list[str]:
        """Write pictures and wavs of what `show` gives; what could not be played, and why.

        Raises:
            MachineError: the disk is full.
        """
        if self._show is None:
            return []
        with self._as_used():
            shown = self._show(self._model)
        return write(run, update, shown)

    def is_better(self, validation: Mapping[str, float], best: float | None) -> bool:
        """Whether this validation is the best so far.

        Raises:
            ConfigError: `best_by` is none of its names.
        """
        if self._best_by is None:
            return False
        if self._best_by not in validation:
            problem = f"best_by: validation gives no {self._best_by!r}"
            raise ConfigError(problem, f"it gives: {', '.join(validation)}")
        value = validation[self._best_by]
        return not math.isnan(value) and (best is None or value < best)

    @contextmanager
    def _as_used(self) -> Iterator[None]:
        mean = self._ema.applied() if self._ema is not None else nullcontext()
        modes = {module: module.training for module in self._model.modules()}
        with aside(self._seed), mean, torch.no_grad():
            self._model.eval()
            try:
                yield
            finally:
                for module, mode in modes.items():  # not train(): some parts may stand frozen
                    module.training = mode
