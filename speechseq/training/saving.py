"""Saving and loading of a run: checkpoints for inference, and the state for resuming."""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from speechseq import checkpoint
from speechseq.audio.mel import AudioConfig
from speechseq.checkpoint.folder import VOCABULARY, WEIGHTS
from speechseq.checkpoint.skeleton import differences
from speechseq.config import Config
from speechseq.errors import CheckpointError, ConfigError
from speechseq.text.vocabulary import Vocabulary
from speechseq.training import resume
from speechseq.training.ema import EMA
from speechseq.training.recovery import OtherRunError, newest_whole
from speechseq.training.resizing import current_config, follow_checkpoint
from speechseq.training.resume import ResumeState, random_state, set_random_state
from speechseq.training.resume_checks import check_state
from speechseq.training.run_folder import BEST, LAST, RunFolder

_OTHER_RUN = (
    "give the settings that this run began with, or begin another run from its weights "
    "(--run ANOTHER --init THIS_RUN)"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """Settings that a checkpoint stores beside the weights, to build the model again.

    Attributes:
        model: config that builds the model.
        audio: settings of its features; None for models of text only.
        vocabulary: symbols and their ids.
    """

    model: Config
    audio: AudioConfig | None
    vocabulary: Vocabulary


@dataclasses.dataclass
class Counters:
    """Totals of a run so far, which are saved with it.

    Attributes:
        update: number of updates made, skipped ones included.
        skipped: number of updates that were not applied, because numbers were not finite.
        seconds: duration so far.
        best: best value of the validation; None before the first.
        best_update: update of the best value; None before the first.
    """

    update: int = 0
    skipped: int = 0
    seconds: float = 0.0
    best: float | None = None
    best_update: int | None = None


class Saver:
    """Saves and restores the complete state of a run: `save` after an update, `load` to resume.

    Args:
        folder: folder of the run.
        about: model config, audio settings and vocabulary, stored with the weights.
        model: model in training.
        optimizer: its optimizer.
        batches: source of batches with `state_dict` and `load_state_dict`.
        ema: moving average of the model's weights, or None.
        keep: number of checkpoints to keep, in addition to the best.
        raises_r: True if the run may raise the reduction factor of its model.
    """

    def __init__(
        self,
        folder: RunFolder,
        about: ModelDescription,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        ema: EMA | None,
        batches: Any,
        *,
        keep: int,
        raises_r: bool = False,
    ) -> None:
        self._raises_r = raises_r
        self._folder, self._about, self._keep = folder, about, keep
        self._model, self._optimizer, self._ema = model, optimizer, ema
        self._batches = batches

    def save(self, counters: Counters) -> None:
        """Write the checkpoint of the update in `counters` atomically, and point `last` to it.

        Raises:
            MachineError: the disk is full.
        """
        moments, named = self._optimizer.state_dict()["state"], self._model.named_parameters()
        state = ResumeState(
            optimizer=moments,
            own_weights=self._ema.own() if self._ema is not None else None,
            random_state=random_state(),
            batches=self._batches.state_dict(),
            tally=dataclasses.asdict(counters),
            parameters=[name for i, (name, _) in enumerate(named) if i in moments],
        )
        with self._ema.applied() if self._ema is not None else nullcontext():
            checkpoint.save(
                self._folder.folder(counters.update),
                model=current_config(self._about.model, self._model),
                audio=self._about.audio,
                vocabulary=self._about.vocabulary,
                weights=self._model.state_dict(),
                update=counters.update,
                extra={resume.FILE: state.to_bytes()},
            )
        self._point_links(counters)
        self._folder.prune(self._keep)

    def load(self) -> Counters | None:
        """Restore the state of the newest intact checkpoint; return None if there is none.

        Raises:
            CheckpointError: all checkpoints are damaged, or the newest intact one is of a run with
                another model, audio or vocabulary.
        """
        found = newest_whole(self._folder, self._read)
        if found is None:
            return None
        contents, state = found
        with _fitting(contents.folder):
            counters = Counters(**state.tally)
            self._fill(contents.weights, state)
        self._point_links(counters)
        return counters

    def _read(self, folder: Path) -> tuple[checkpoint.Contents, ResumeState]:
        """Read a checkpoint folder; check that it is intact and of this run."""
        contents = checkpoint.read(folder)
        self._check_same(contents)
        data = checkpoint.read_file(folder, resume.FILE, contents.config)
        state = ResumeState.from_bytes(data, folder / resume.FILE)
        parameters, update = dict(self._model.named_parameters()), contents.config["update"]
        with _fitting(folder):
            check_state(state, parameters, update)
        return contents, state

    def _fill(self, weights: dict[str, Tensor], state: ResumeState) -> None:
        self._model.load_state_dict(weights)
        if self._ema is not None:
            self._ema.load(weights)
        if state.own_weights is not None:
            with torch.no_grad():
                for name, value in state.own_weights.items():
                    self._model.get_parameter(name).copy_(value)
        # the groups' hyperparameters come from the config, which may have changed since
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": state.optimizer, "param_groups": groups})
        self._batches.load_state_dict(state.batches)
        set_random_state(state.random_state)

    def _point_links(self, counters: Counters) -> None:
        if self._folder.holds(counters.update):
            self._folder.point(LAST, counters.update)
        if counters.best_update is not None and self._folder.holds(counters.best_update):
            self._folder.point(BEST, counters.best_update)

    def _check_same(self, contents: checkpoint.Contents) -> None:
        ours = {"model": self._about.model, "audio": self._about.audio}
        found = {name: filled(contents.config[name], config) for name, config in ours.items()}
        parts = self._model, self._optimizer, self._ema
        found["model"] = follow_checkpoint(
            found["model"], self._about.model, *parts, raised=self._raises_r
        )
        expected = {
            name: None if config is None else config.to_dict() for name, config in ours.items()
        }
        if there := first_difference(_as_read(found), _as_read(expected)):
            problem = f"{contents.folder}: this run was begun with other settings: {there}"
            raise OtherRunError(problem, _OTHER_RUN)
        if contents.vocabulary != _as_read(self._about.vocabulary.to_dict()):
            where = contents.folder / VOCABULARY
            raise OtherRunError(f"{where}: this run was begun with another one", _OTHER_RUN)
        if wrong := differences(contents.weights, self._model.state_dict()):
            problem = f"{contents.folder}: {WEIGHTS} does not fit the model: {wrong}"
            raise OtherRunError(problem, _OTHER_RUN)


@contextmanager
def _fitting(folder: Path) -> Iterator[None]:
    """A context in which a state that does not fit the run raises CheckpointError."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise _unfit(folder, repr(error)) from None
    except (ValueError, RuntimeError) as error:
        raise _unfit(folder, str(error)) from None


def _unfit(folder: Path, reason: str) -> CheckpointError:
    problem = f"{folder / resume.FILE}: does not fit this run: {reason.splitlines()[0][:300]}"
    return CheckpointError(problem, resume.DELETE)


def filled(found: Any, config: Config | None) -> Any:
    """Add the settings that a stored checkpoint lacks, because a later version introduced them.

    They get their default values.

    Args:
        found: stored settings as plain data.
        config: present settings, whose class has the defaults. If it is None, or the stored
            settings are of another kind, `found` is returned.
    """
    if found is None or config is None:
        return found
    try:
        return type(config).from_dict(found).to_dict()
    except ConfigError:  # of another kind, or with parts unknown here: compared unchanged
        return found


def _as_read(data: Any) -> Any:
    return json.loads(json.dumps(data))


def first_difference(found: Any, expected: Any, where: str = "") -> str:
    """Return the first key at which two pieces of plain data differ, with both values.

    The result is one line of text, "" for equal data.

    Args:
        found: dicts, lists, strings and numbers, such as stored settings.
        expected: data of the same kind, such as the settings of the run.
        where: prefix of the keys, such as "model" for settings at that key of larger ones.
    """
    return next(all_differences(found, expected, where), "")


def all_differences(found: Any, expected: Any, where: str = "") -> Iterator[str]:
    """Yield a line of text for each key at which two pieces of plain data differ, with both values.

    Args:
        found: dicts, lists, strings and numbers, such as stored settings.
        expected: data of the same kind, such as the settings of the run.
        where: prefix of the keys, such as "model" for settings at that key of larger ones.
    """
    if not (isinstance(found, dict) and isinstance(expected, dict)):
        if found != expected:
            yield f"{where} is {found!r} there, {expected!r} here"
        return
    for key in [*found, *(key for key in expected if key not in found)]:
        path = f"{where}.{key}" if where else key
        yield from all_differences(found.get(key), expected.get(key), path)
