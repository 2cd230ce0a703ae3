"""Monitor of a run: diagnoses it after each validation, and acts when its alignment collapses."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from speechseq.errors import DataError
from speechseq.models.tacotron import Tacotron
from speechseq.training.config import TrainerConfig
from speechseq.training.corpus_facts import FACTS
from speechseq.training.doctor import diagnose, read_history
from speechseq.training.ema import EMA
from speechseq.training.finding import MOVED, Course, Finding
from speechseq.training.findings import collapsed
from speechseq.training.log import FILE, Log, read
from speechseq.training.probes import weight_size
from speechseq.training.resizing import raise_reduction_factor
from speechseq.training.restart import RESTART, restart_attention
from speechseq.training.saving import Counters

FINDING = "finding"  # event in the log of a run
_EARLY = 20, 10  # the run's updates over these: validations that a first warning needs
_LONG = 100  # updates; shorter runs are tests


class Monitor:
    """Diagnoses a run of a Tacotron while it trains, and acts if its alignment collapses.

    A `Trainer` calls `begin` once and `report` after each validation. Each kind of finding is
    printed and logged once, when it first appears. `TrainerConfig.on_collapse` says what happens at
    a collapse.

    Args:
        model: model in training.
        optimizer: its optimizer.
        ema: moving average of its weights, or None.
        config: settings of the run.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        ema: EMA | None,
        config: TrainerConfig,
    ) -> None:
        self._parts, self._config = (model, optimizer, ema), config
        self._history: list[tuple[int, dict[str, float]]] = []
        self._said: set[str] = set()

    def begin(self, run: Path) -> dict[str, float]:
        """Read the history of a run that is resumed, without repeating its findings.

        Returns:
            "weight_size" of a Tacotron before its first update, to be logged; {} for other models.
        """
        lines = read(run) if (run / FILE).exists() else []
        said = (line.get("problem") for line in lines if line.get("event") == FINDING)
        self._said = {_kind(problem) for problem in said if isinstance(problem, str)}
        self._history = read_history(run)[0] if lines else []
        if not isinstance(self._parts[0], Tacotron):
            return {}
        size = {"weight_size": weight_size(self._parts[0])}
        if not lines:
            self._history.append((0, {**size, "learning_rate": self._config.learning_rate}))
        return size

    def is_early(self, update: int) -> bool:
        """Return True if a validation is due at an early update, so that problems are found soon.

        This is so at a twentieth and a tenth of a long run whose first regular validation comes
        later.
        """
        config = self._config
        tenth = config.updates // _EARLY[1]
        usual = min(config.checkpoint_every, config.validate_every or config.checkpoint_every)
        if config.updates < _LONG or usual <= tenth:
            return False
        return update in (config.updates // _EARLY[0], tenth)

    def report(
        self,
        counters: Counters,
        validation: Mapping[str, float],
        losses: Mapping[str, float],
        log: Log,
        say: Callable[[str], None],
    ) -> None:
        """Log and print a validation; if it has measures of alignment, diagnose the run as well.

        Args:
            counters: number of updates, and other totals of the run.
            validation: values by name; see `doctor_validation`.
            losses: last mean losses in training by name.
            log: log to which the validation and new findings are written.
            say: function that prints a line.

        Raises:
            DataError: the alignment has collapsed, and `on_collapse` is "stop".
        """
        update = counters.update
        log.write(update, {"validation": validation})
        shown = {n: v for n, v in validation.items() if n not in FACTS and MOVED not in n}
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in shown.items())
        say(f"update {update}: validation: {numbers}")
        if "focus" not in validation:
            return
        self._history.append((update, {**self._training(losses, counters), **validation}))
        for finding in self._new_findings():
            log.write(update, {"event": FINDING, **finding._asdict()})
            say(f"update {update}: {finding.problem}\n  cure: {finding.cure}")
        course = Course(self._history, self._config.updates)
        if collapse := next(collapsed(course), None):
            self._treat(update, collapse, log, say)

    def _training(self, losses: Mapping[str, float], counters: Counters) -> dict[str, float]:
        """Values beside the validation's, named as `doctor.read_history` names them."""
        rate = self._parts[1].param_groups[0]["lr"]
        values = {"learning_rate": rate, "skipped": float(counters.skipped)}
        return {f"train_{name}": value for name, value in losses.items()} | values

    def _new_findings(self) -> list[Finding]:
        found = diagnose(self._history, self._config.updates)
        new = [finding for finding in found if _kind(finding.problem) not in self._said]
        self._said |= {_kind(finding.problem) for finding in new}
        return new

    def _treat(self, update: int, collapse: Finding, log: Log, say: Callable[[str], None]) -> None:
        if self._config.on_collapse == "stop":
            raise DataError(f"update {update}: {collapse.problem}", collapse.cure)
        if self._config.on_collapse == "restart" and restart_attention(*self._parts):
            self._begin_anew(update, "the attention's weights begin anew", log, say)
        if self._config.on_collapse == "raise_r" and (r := raise_reduction_factor(*self._parts)):
            self._begin_anew(update, f"from now on {r} frames a step", log, say)

    def _begin_anew(self, update: int, what: str, log: Log, say: Callable[[str], None]) -> None:
        log.write(update, {"event": RESTART, "change": what})
        say(f"update {update}: {what}")
        self._history.clear()


def _kind(problem: str) -> str:
    """Beginning of a problem, without numbers that change from one validation to the next."""
    return " ".join(problem.split()[:4])
