"""Columns of a metadata file: named by a flag or a header line, or recognised by their number.

`id|text` and LJSpeech's `id|text|normalized text` are recognised by their number of columns. A
column of speakers is never guessed: it must be named, and a file with an unnamed column that looks
like speakers is refused.
"""

import re
from collections import Counter
from collections.abc import Sequence

from speechseq.config import nearest
from speechseq.errors import ConfigError, DataError

Columns = tuple[str, ...]
NAMES = ("id", "text", "normalized", "speaker", "-")
_FLAG = "--columns"
_HEADS = {
    "id": "id file file_id filename file_name wav path audio audio_file audio_path wav_path",
    "text": "text raw raw_text transcript transcription sentence",
    "normalized": "normalized normalised normalized_text text_normalized clean_text",
    "speaker": "speaker speaker_id speaker_name spk spk_id",
}
_HEAD_OF = {head: name for name, heads in _HEADS.items() for head in heads.split()}
_OTHERS = {"\t": "tabs", ";": "semicolons", ",": "commas"}
_WORD = re.compile(r"\w+")
_SHORT = 3  # words of the name of a speaker, at most


def parse(text: str) -> Columns:
    """Parse the user's names of the columns of a metadata file, such as "id,text,speaker".

    "-" stands for a column to skip. Returns the names in order.

    Raises:
        ConfigError: a name is unknown or repeated, or there is no id or no text.
    """
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in NAMES:
            raise ConfigError(f"columns: unknown {name!r} in {text!r}", nearest(name, NAMES))
    named = [name for name in names if name != "-"]
    if len(set(named)) < len(named) or "id" not in named or not {"text", "normalized"} & {*named}:
        raise ConfigError(
            f"columns: {text!r} has to name id once, and text or normalized or both",
            "for example: id,text or id,text,speaker or id,text,normalized",
        )
    return names


def of_header(fields: Sequence[str]) -> Columns | None:
    """Return the columns that a header line names; None if the line is not a header.

    `fields` are the fields of the line. Common names such as "transcript" are understood; other
    columns are skipped ("-").
    """
    names = tuple(_HEAD_OF.get(field.strip().strip('"').lower(), "-") for field in fields)
    named = [name for name in names if name != "-"]
    if len(fields) < 2 or names[0] == "-" or "id" not in named or len(set(named)) < len(named):
        return None
    return names if {"text", "normalized"} & {*named} else None


def of_rows(where: str, rows: Sequence[Sequence[str]]) -> Columns:
    """Guess the columns of a metadata file without a header, by the number of fields per row.

    The number that most rows have counts. Two fields are id and text; three are id, text and
    normalised text.

    Args:
        where: name of the file, for errors.
        rows: fields of each row.

    Raises:
        DataError: most rows have more than three fields, or only one, which another delimiter than
            "|" seems to divide. Or a column seems to hold the speakers' names, whose place only a
            header or the user can tell.
    """
    count = Counter(map(len, rows)).most_common(1)[0][0] if rows else 3
    if count == 1:
        _refuse_delimiter(where, [row[0] for row in rows if len(row) == 1])
    if count > 3:
        raise DataError(
            f"{where}: {count} columns and no header: {_example(rows, count)}",
            f"say which they are, for example: {_FLAG} {','.join(['id', 'text', 'speaker'])}"
            + ",-" * (count - 3),
        )
    if count == 3:
        same = [row for row in rows if len(row) == 3]
        for place, order in ((2, "id,text,speaker"), (1, "id,speaker,text")):
            if _looks_like_speakers(same, place):
                raise DataError(
                    f"{where}: is column {place + 1} a speaker or a text? {_example(rows, 3)}",
                    f"say so: {_FLAG} {order}, or {_FLAG} id,text,normalized",
                )
        return ("id", "text", "normalized")
    return ("id", "text") if count == 2 else ("id", "text", "normalized")


def _looks_like_speakers(rows: Sequence[Sequence[str]], place: int) -> bool:
    """Return True if a column looks like speakers: short, unlike the row's text, repeated."""
    names = [row[place].strip() for row in rows if row[place].strip()]
    texts = [row[3 - place] for row in rows if row[place].strip()]
    if not names or any(len(name.split()) > _SHORT for name in names):
        return False
    like = sum(_may_be_the_same(*pair) for pair in zip(names, texts, strict=True))
    if like > 0.1 * len(names):
        return False
    words = sum(len(text.split()) for text in texts) / len(texts)
    return len(set(names)) <= len(names) / 2 or words > _SHORT


def _may_be_the_same(name: str, text: str) -> bool:
    """Return True if `name` may be `text` normalised: a word in common, or digits spelled out."""
    shared = {*_WORD.findall(name.lower())} & {*_WORD.findall(text.lower())}
    read_out = any(c.isdigit() for c in text) and len(name) >= len(text)
    return bool(shared) or read_out


def _refuse_delimiter(where: str, lines: Sequence[str]) -> None:
    for sign, name in _OTHERS.items():
        if sum(sign in line for line in lines) > len(lines) / 2:
            raise DataError(
                f"{where}: the columns look divided by {name}, not by |: {lines[0][:80]!r}",
                "write them as id|text, a line an utterance",
            )


def _example(rows: Sequence[Sequence[str]], count: int) -> str:
    return repr("|".join(next(row for row in rows if len(row) == count))[:120])
