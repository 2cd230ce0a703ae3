"""metadata.csv: rows of `id|text|normalised text` without quoting; one pass finds all bad ones."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from speechseq import files
from speechseq.errors import DataError

TEXTS = files.Kind(
    name="a list of utterances",
    limit=128 << 20,
    cure="name the folder of a corpus, which holds this file and its sounds",
)
SHOWN = 50  # problems printed one by one; of the others only the number
_BAD_ID = re.compile(r"[/\\\x00-\x1f]|^\.|\.\.|^\s|\s$|^$")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_log = logging.getLogger(__name__)


class Row(NamedTuple):
    """One good row: where it stands in the file and what it says."""

    line: int
    id: str
    raw: str
    normalized: str


def rows(path: Path, *, columns: int = 3) -> tuple[list[Row], list[str]]:
    """Good rows of a metadata file, and a `file:line: what is wrong` for every bad one.

    A byte order mark and Windows line ends are accepted and said in the log; empty lines are
    skipped. With `columns=2` the normalised text may be missing.

    Raises:
        DataError: there is no such file, or it is UTF-16.
    """
    good: dict[str, Row] = {}
    problems: list[str] = []
    for line, content in enumerate(_lines(path), start=1):
        if not content.strip():
            continue
        row = _row(line, content, columns)
        if isinstance(row, Row) and row.id in good:
            row = f"id {row.id!r} stands already in line {good[row.id].line}"
        if isinstance(row, Row):
            good[row.id] = row
        else:
            problems.append(f"{path}:{line}: {row}")
    return list(good.values()), problems


def refuse(problems: list[str], cure: str) -> None:
    """Raise one DataError that lists the problems; nothing happens when there are none."""
    if not problems:
        return
    shown = problems[:SHOWN]
    if len(problems) > SHOWN:
        shown.append(f"… and {len(problems) - SHOWN} more")
    head = f"{len(problems)} bad row{'s' if len(problems) > 1 else ''}:"
    raise DataError("\n  ".join([head, *shown]), cure)


def _lines(path: Path) -> Iterator[bytes]:
    data = files.read_bytes(path, TEXTS)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path}: the text is UTF-16", "save it as UTF-8")
    if data.startswith(b"\xef\xbb\xbf"):
        _log.warning("%s: starts with a byte order mark; read without it", path)
        data = data[3:]
    if b"\r\n" in data:
        _log.warning("%s: has Windows line ends (CRLF); read as if it had none", path)
    return (line.removesuffix(b"\r") for line in data.split(b"\n"))


def _row(line: int, content: bytes, columns: int) -> Row | str:
    """The row, or what is wrong with it."""
    try:
        fields = content.decode("utf-8").split("|")
    except UnicodeDecodeError as error:
        bad = content[error.start]
        return f"byte {bad:#04x} at position {error.start + 1} is not UTF-8 (Latin-1?)"
    if not columns <= len(fields) <= 3:
        return f"{len(fields)} columns, expected 3: id|text|normalised text"
    name, raw, normalized = (*fields, "")[:3]
    if _BAD_ID.search(name):
        return f"id {name!r} cannot name a file in wavs/"
    if not (normalized if columns == 3 else raw).strip():
        return f"{name}: empty text"
    if control := _CONTROL.search(raw + normalized):
        return f"{name}: control character {control.group()!r} in the text"
    return Row(line, name, raw.strip(), normalized.strip())
