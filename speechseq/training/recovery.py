"""Recovery from damaged checkpoints: reads the newest intact checkpoint of a run."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from speechseq.errors import CheckpointError
from speechseq.training.run_folder import RunFolder

T = TypeVar("T")
_CURE = "copy the run's checkpoints again, or train into another run folder (--run DIR)"


class DamagedCheckpointWarning(UserWarning):
    """Warning that a run resumes from an older checkpoint, because a newer one is damaged."""


class OtherRunError(CheckpointError):
    """Error: the checkpoint is intact, but of a run with another model, audio or vocabulary."""


def newest_whole(folder: RunFolder, read: Callable[[Path], T]) -> T | None:
    """Read the newest intact checkpoint of a run; None if the run has no checkpoint.

    Newer checkpoints that are damaged are renamed, never deleted, so that the run can save under
    their names again; a DamagedCheckpointWarning is given for each.

    Args:
        folder: folder of the run.
        read: function that reads a checkpoint folder; it raises CheckpointError if the checkpoint
            is damaged, and OtherRunError if it belongs to another run. Its result is returned.

    Raises:
        OtherRunError: see `read`.
        CheckpointError: all checkpoints are damaged.
        MachineError: a damaged checkpoint cannot be renamed.
    """
    damaged: list[tuple[Path, CheckpointError]] = []
    for path in folder.candidates():
        try:
            found = read(path)
        except OtherRunError:
            raise
        except CheckpointError as error:
            damaged.append((path, error))
            continue
        _set_aside(folder, damaged, path)
        return found
    if damaged:
        more = f" (and {len(damaged) - 1} older checkpoints are damaged)" if damaged[1:] else ""
        raise CheckpointError(f"{damaged[0][1].problem}{more}", _CURE)
    return None


def _set_aside(folder: RunFolder, damaged: list[tuple[Path, CheckpointError]], good: Path) -> None:
    for path, error in damaged:
        kept = folder.set_aside(path)
        warnings.warn(
            f"{error.problem}; the run goes on from {good}, and the damaged checkpoint is kept as "
            f"{kept.name}",
            DamagedCheckpointWarning,
            stacklevel=2,
        )
