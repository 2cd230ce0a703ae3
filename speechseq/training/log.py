"""Log of a run: written as one JSON object per line and for tensorboard, and read again."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechseq import files
from speechseq.errors import MachineError
from speechseq.file_writing import cannot_write, check_target, replace_file
from speechseq.printable import json_line
from speechseq.training.appended_file import AppendedFile
from speechseq.training.event_file import EventFile

FILE = "log.jsonl"
_LOG = files.Kind(name="the log of a run", limit=4 << 30, cure="name the folder of a run")


class Log:
    """Log of a training run: appends to RUN/log.jsonl, and to RUN/tensorboard if enabled.

    Use it in a `with` statement, and call `write`. `read` and `curves` read the log. A line that
    cannot be written because the disk is full is kept in memory and written later; the first of
    them gives a warning.

    Args:
        run: folder of the run.
        update: last update of the run so far; lines of later updates, which the run will make
            again, are deleted.
        tensorboard: write event files too.

    Raises:
        ConfigError: the path of the log is a link, a folder or a pipe.
        MachineError: the log cannot be written.
    """

    def __init__(self, run: Path, *, update: int, tensorboard: bool) -> None:
        self.path = run / FILE
        try:
            run.mkdir(parents=True, exist_ok=True)
            _drop_later_lines(self.path, update)
        except OSError as error:
            raise cannot_write(self.path, error) from None
        self._lines = AppendedFile(self.path)
        self._events = EventFile(run / "tensorboard", update) if tensorboard else None

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        try:
            self._lines.close()
            if self._events is not None:
                self._events.close()
        except MachineError:
            if failure is None:  # an error being raised matters more than an incomplete log
                raise

    def write(self, update: int, values: Mapping[str, Any]) -> None:
        """Append one line; NaN and infinity become null, because JSON cannot express them.

        A line with an "event" is a message; `curves` and tensorboard leave out its numbers.

        Args:
            update: number of the update that the line is about.
            values: plain data by name, numbers or nested dicts of numbers.
        """
        line = json_line({"update": update, **_finite(values)})
        self._lines.write(line.encode() + b"\n")
        if self._events is not None and "event" not in values:
            self._events.write(update, flat(values))


def read(run: Path | str) -> list[dict[str, Any]]:
    """Read the lines of RUN/log.jsonl, in order; an incomplete last line is left out.

    Each line is a dict with "update" and the values logged at this update.

    Raises:
        DataError: the run has no log.
    """
    lines = files.lines(Path(run) / FILE, _LOG)
    return [line for line in (_parsed(line) for _, line in lines) if line is not None]


def curves(run: Path | str) -> dict[str, list[tuple[int, float]]]:
    """Read the numbers of a run's log: (update, value) pairs by name, such as "loss/total".

    Raises:
        DataError: the folder `run` has no log.
    """
    found: dict[str, list[tuple[int, float]]] = {}
    for line in read(run):
        for name, value in ({} if "event" in line else flat(line)).items():
            if name != "update":
                found.setdefault(name, []).append((line["update"], value))
    return found


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Flatten nested numbers: {"loss": {"total": 1}} gives {"loss/total": 1.0}.

    Args:
        values: numbers and nested dicts of them; other values, NaN and infinity are left out.
        prefix: put before each name.
    """
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
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and isinstance(value.get("update"), int) else None


def _drop_later_lines(path: Path, update: int) -> None:
    """Rewrite the log up to `update`, as a new file, since hard links may share the old one."""
    check_target(path)
    if path.exists():
        lines = files.read_bytes(path, _LOG).splitlines(keepends=True)
        replace_file(path, b"".join(line for line in lines if _is_kept(line, update)))


def _is_kept(line: bytes, update: int) -> bool:
    parsed = _parsed(line) if line.endswith(b"\n") else None
    return parsed is not None and parsed["update"] <= update
