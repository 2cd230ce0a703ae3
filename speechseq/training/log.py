"""The log of a run: one JSON object a line, the same numbers for tensorboard, and back again."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechseq.errors import DataError, MachineError

FILE = "log.jsonl"


class Log:
    """Appends to RUN/log.jsonl, and to RUN/tensorboard when asked to.

    Args:
        run: the run's folder.
        update: where the run stands; lines of later updates, which will come again, are dropped.
        tensorboard: write event files too.

    Raises:
        MachineError: the log cannot be written.
    """

    def __init__(self, run: Path, *, update: int, tensorboard: bool) -> None:
        self.path = run / FILE
        self._writer: Any = None
        try:
            run.mkdir(parents=True, exist_ok=True)
            _drop_later_lines(self.path, update)
            self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115
            if tensorboard:
                self._writer = _summary_writer(run / "tensorboard", update)
        except OSError as error:
            raise _cannot_write(self.path, error) from None

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._writer is not None:
            self._writer.close()

    def write(self, update: int, values: Mapping[str, Any]) -> None:
        """Append one line; numbers that are not finite become null, since JSON knows no others.

        A line with an "event" is for people: its numbers are no part of any curve.

        Raises:
            MachineError: the disk is full.
        """
        line = json.dumps({"update": update, **_finite(values)}, ensure_ascii=False)
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            raise _cannot_write(self.path, error) from None
        if self._writer is not None and "event" not in values:
            for name, value in flat(values).items():
                self._writer.add_scalar(name, value, update)
            self._writer.flush()


def read(run: Path | str) -> list[dict[str, Any]]:
    """The lines of a run's log, in order; a last line cut by a kill is left out.

    Raises:
        DataError: there is no log.
    """
    path = Path(run) / FILE
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    return [line for line in map(_parsed, lines) if line is not None]


def curves(run: Path | str) -> dict[str, list[tuple[int, float]]]:
    """Every number of a run's log by its name, such as "loss/total", as (update, value) pairs."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in read(run):
        for name, value in ({} if "event" in line else flat(line)).items():
            if name != "update":
                found.setdefault(name, []).append((line["update"], value))
    return found


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested numbers by path: {"loss": {"total": 1}} gives {"loss/total": 1.0}."""
    numbers: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            numbers |= flat(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)) and math.isfinite(value):
            numbers[prefix + name] = float(value)
    return numbers


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _finite(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and isinstance(value.get("update"), int) else None


def _drop_later_lines(path: Path, update: int) -> None:
    if not path.exists():
        return
    kept = [line for line in path.read_bytes().splitlines(keepends=True) if _is_kept(line, update)]
    fresh = path.with_name(f".{path.name}.tmp")
    fresh.write_bytes(b"".join(kept))
    os.replace(fresh, path)


def _is_kept(line: bytes, update: int) -> bool:
    parsed = _parsed(line) if line.endswith(b"\n") else None
    return parsed is not None and parsed["update"] <= update


def _summary_writer(folder: Path, update: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter  # slow to import

    return SummaryWriter(str(folder), purge_step=update + 1)


def _cannot_write(path: Path, error: OSError) -> MachineError:
    problem = f"{path}: the log cannot be written: {error.strerror or error}"
    return MachineError(problem, "free some space, or choose another run folder")
