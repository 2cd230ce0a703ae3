"""Metadata files with rows such as `id|text|normalised text`; one pass reports all bad rows."""

import csv
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from speechseq import files
from speechseq.corpus import columns as column_names
from speechseq.errors import DataError

TEXTS = files.Kind(
    name="a list of utterances",
    limit=128 << 20,
    cure="name the folder of a corpus, which holds this file and its sounds",
)
SHOWN = 50  # problems printed one by one; the others are counted
_BAD_ID = re.compile(r"[/\\\x00-\x1f]|^\.|\.\.|^\s|\s$|^$")
_SUFFIX = re.compile(r"\.(wav|flac)$", re.IGNORECASE)
_QUOTED = re.compile(r'"[^"|]+"\|')
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_log = logging.getLogger(__name__)


class Row(NamedTuple):
    """Row of a metadata file (one utterance) that has no error.

    Attributes:
        line: line number, from 1.
        id: name of the utterance and of its sound file.
        raw: text as written.
        normalized: text as spoken, with numbers and abbreviations as words.
        speaker: name of the speaker; "" if the file has no column of speakers.
    """

    line: int
    id: str
    raw: str
    normalized: str
    speaker: str = ""


def rows(path: Path, *, columns: int | str = 3) -> tuple[list[Row], list[str]]:
    """Read a metadata file; return its good rows, and a `file:line: problem` for every bad one.

    A byte order mark and Windows line ends are accepted and logged; empty lines are skipped.

    Args:
        path: metadata.csv or a file like it, with columns separated by "|".
        columns: names of the columns, such as "id,text,speaker" (see `columns.parse`). A number
            takes the names of a header line or, without one, recognises `id|text`, whose text is
            both raw and normalised, and `id|text|normalized text`; 2 accepts rows without the
            normalised text in a file of three columns.

    Raises:
        ConfigError: `columns` is invalid.
        DataError: the file does not exist, is UTF-16, or has ambiguous columns.
    """
    lines = [(i, line) for i, line in enumerate(_lines(path), start=1) if line.strip()]
    fields = [(i, _fields(line)) for i, line in lines]
    read = [row for _, row in fields if not isinstance(row, str)]
    header = column_names.of_header(read[0]) if read and fields[0][1] is read[0] else None
    if isinstance(columns, str):
        names = column_names.parse(columns)
    else:
        names = header or column_names.of_rows(str(path), read)
    good: dict[str, Row] = {}
    problems: list[str] = []
    for line, found in fields[1:] if header else fields:
        row = found if isinstance(found, str) else _row(line, found, names, columns == 2)
        if isinstance(row, Row) and row.id in good:
            row = f"id {row.id!r} stands already in line {good[row.id].line}"
        if isinstance(row, Row):
            good[row.id] = row
        else:
            problems.append(f"{path}:{line}: {row}")
    return list(good.values()), problems


def refuse(problems: list[str], cure: str) -> None:
    """Raise one DataError that lists all problems; do nothing if there are none.

    Args:
        problems: descriptions of the problems.
        cure: what to do about them, the end of the message.

    Raises:
        DataError: there are problems.
    """
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


def _fields(content: bytes) -> list[str] | str:
    """Return the columns of a line, or its problem."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        bad = content[error.start]
        return f"byte {bad:#04x} at position {error.start + 1} is not UTF-8 (Latin-1?)"
    if _QUOTED.match(text):  # every field is quoted; otherwise quotes are characters of the text
        return next(csv.reader([text], delimiter="|"))
    return text.split("|")


def _row(line: int, fields: list[str], names: tuple[str, ...], may_lack: bool) -> Row | str:
    """Return the row, or its problem."""
    lacking = may_lack and names[-1] == "normalized" and len(fields) == len(names) - 1
    if len(fields) != len(names) and not lacking:
        return f"{len(fields)} columns, expected {len(names)}: {'|'.join(names)}"
    found = dict(zip(names, fields, strict=False))
    name = _SUFFIX.sub("", found["id"])
    if _BAD_ID.search(name):
        return f"id {name[:80]!r} cannot name a file in wavs/"
    raw = found.get("text", found.get("normalized", ""))
    normalized = found.get("normalized", "" if "normalized" in names else raw)
    if not (raw if may_lack else normalized).strip():
        return f"{name}: empty text"
    if control := _CONTROL.search(raw + normalized):
        return f"{name}: control character {control.group()!r} in the text"
    if "speaker" in names and not found["speaker"].strip():
        return f"{name}: no speaker"
    return Row(line, name, raw.strip(), normalized.strip(), found.get("speaker", "").strip())
