"""Files of transcripts, one utterance per line, in the formats of common recognisers.

    text    id word word …                       Kaldi; an id alone is an empty transcript
    tsv     id<TAB>word word …                   or a header that names id or path, text, speaker
    trn     word word … (id)                     NIST's sclite
    json    {"id" or "path": …, "text": …}       a JSON object per line; "speaker" is optional

If an utterance has a path and no id, its id is the name of the file without folder and suffix.
"""

import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from speechseq import files
from speechseq.errors import DataError

_TRANSCRIPTS = files.Kind(
    name="a file of transcripts",
    limit=512 << 20,
    cure="name a file of transcripts",
    streams=True,
)
_SHOWN = 20  # problems, or ids, that are named one by one
_TRN = re.compile(r"(.*)\(([^()\s]+)\)\s*$")
_ENDINGS = {".trn": "trn", ".tsv": "tsv", ".json": "json", ".jsonl": "json"}


class Utterance(NamedTuple):
    """Utterance of a file of transcripts, of references or hypotheses; see `read`.

    Attributes:
        id: name of the utterance.
        text: transcript.
        speaker: name of the speaker; "" if the file does not tell.
    """

    id: str
    text: str
    speaker: str = ""


Lines = list[tuple[int, str]]
File = dict[str, Utterance]


class Alike(NamedTuple):
    """Files of transcripts of the same utterances, such as references and hypotheses.

    `read_alike` reads them.

    Attributes:
        files: for each file, its utterances by id.
        forms: format of each file: "text", "tsv", "trn" or "json".
        by_ids: True if a format was chosen by comparing the ids of the files.
    """

    files: list[File]
    forms: list[str]
    by_ids: bool


def read(path: Path, form: str = "") -> File:
    """Read a file of transcripts: its utterances by id, in the order of the file.

    Args:
        path: the file.
        form: format, "text", "tsv", "trn" or "json"; "" recognises it, see `read_alike`.

    Raises:
        DataError: the file is missing, empty or not UTF-8, or lines cannot be read.
    """
    return read_alike([path], form).files[0]


def read_alike(paths: Sequence[Path], form: str = "") -> Alike:
    """Read several files of transcripts of the same utterances, such as references and hypotheses.

    If no format is given, that of each file follows from the suffix (.trn, .tsv, .json, .jsonl) or
    from the lines: JSON begins with a brace, and the first line of a tsv file has a tab. A file
    whose lines all end with a word in parentheses may be trn (the word is the id) or text: of the
    two possible ids of its lines, those that the other files have decide.

    Args:
        paths: the files.
        form: format of all files, "text", "tsv", "trn" or "json"; "" recognises each.

    Raises:
        DataError: a file is missing, empty or not UTF-8; the ids do not decide the format; or lines
            cannot be read or ids are repeated, all of which are listed by file and line.
    """
    contents = [_lines(path) for path in paths]
    possible = [
        [form] if form else _possible(path, lines)
        for path, lines in zip(paths, contents, strict=True)
    ]
    forms = _decided(paths, contents, possible)
    found = [_read(*each) for each in zip(paths, contents, forms, strict=True)]
    return Alike(found, forms, any(len(each) > 1 for each in possible))


def _read(path: Path, lines: Lines, form: str) -> File:
    parse = _parser(form, lines)
    found: File = {}
    places: dict[str, int] = {}
    problems = []
    for number, line in lines:
        try:
            utterance = parse(line)
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
            continue
        if utterance.id in found:
            problem = f"id {utterance.id!r} stands already in line {places[utterance.id]}"
            problems.append(f"{path}:{number}: {problem}")
        found.setdefault(utterance.id, utterance)
        places.setdefault(utterance.id, number)
    if problems:
        raise DataError(_listed(problems), f"each line was read as {form}: {_SHAPES[form]}")
    if not found:
        raise DataError(f"{path}: holds no transcripts", f"write lines of {_SHAPES[form]}")
    return found


def check_same_ids(ref: Mapping[str, Utterance], hyp: Mapping[str, Utterance]) -> None:
    """Check that references and hypotheses are of the same utterances.

    Args:
        ref: references by id.
        hyp: hypotheses by id.

    Raises:
        DataError: the ids differ; the message has those that only one of the two has.
    """
    missing, surplus = [i for i in ref if i not in hyp], [i for i in hyp if i not in ref]
    problems = [f"{len(missing)} missing: {_some(missing)}"] * bool(missing)
    problems += [f"{len(surplus)} that no reference has: {_some(surplus)}"] * bool(surplus)
    if problems:
        raise DataError("; ".join(problems), "or count them as empty: --allow-missing")


def with_all_ids(files: Sequence[Mapping[str, Utterance]]) -> list[dict[str, Utterance]]:
    """Give all files the same ids: add an utterance that a file lacks, with an empty transcript.

    `files` have their utterances by id.
    """
    ids = list(dict.fromkeys(name for file in files for name in file))
    return [{name: file.get(name, Utterance(name, "")) for name in ids} for file in files]


def _listed(problems: list[str]) -> str:
    """The first problems, one per line, and the number of the others."""
    rest = len(problems) - _SHOWN
    return "\n  ".join([*problems[:_SHOWN], *([f"… and {rest} more"] if rest > 0 else [])])


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:_SHOWN]) + (", …" if len(ids) > _SHOWN else "")


def _lines(path: Path) -> Lines:
    """Lines that are not blank, with their numbers."""
    found = files.lines(path, _TRANSCRIPTS)
    texts = ((number, files.decoded(path, _TRANSCRIPTS, number, line)) for number, line in found)
    kept = [(number, line) for number, line in texts if line.strip()]
    if not kept:
        raise DataError(f"{path}: is empty", "name a file of transcripts")
    return kept


def _possible(path: Path, lines: Lines) -> list[str]:
    """Possible formats of a file; two if all lines can be read as text and as trn."""
    if form := _ENDINGS.get(path.suffix.lower()):
        return [form]
    first = lines[0][1]
    if first.lstrip().startswith("{"):
        return ["json"]
    if "\t" in first:
        return ["tsv"]
    return ["text", "trn"] if all(_TRN.match(line) for _, line in lines) else ["text"]


def _decided(paths: Sequence[Path], files: Sequence[Lines], forms: list[list[str]]) -> list[str]:
    """Decide on one format for each file; all ambiguous files get the same one."""
    ambiguous = [files[i] for i, possible in enumerate(forms) if len(possible) > 1]
    if not ambiguous:
        return [form for form, *_ in forms]
    known = [_ids(files[i], form) for i, (form, *more) in enumerate(forms) if not more]
    ranks = {
        form: _rank([_ids(lines, form) for lines in ambiguous], known) for form in ("text", "trn")
    }
    if ranks["text"] == ranks["trn"]:
        raise DataError(
            f"{paths[files.index(ambiguous[0])]}: the lines may be text, {_SHAPES['text']}, "
            f"or trn, {_SHAPES['trn']}",
            "say which: --format text or --format trn",
        )
    best = max(ranks, key=ranks.__getitem__)
    return [best if len(possible) > 1 else possible[0] for possible in forms]


def _rank(ambiguous: list[list[str]], known: list[list[str]]) -> tuple[int, bool, bool, bool]:
    """Rank of a format by the ids it gives: number known from other files, if all look like ids, if
    unique, if equal in all ambiguous files."""
    others = {name for ids in known for name in ids}
    return (
        sum(name in others for ids in ambiguous for name in ids),
        all(any(c.isdigit() or c in "-_" for c in name) for ids in ambiguous for name in ids),
        all(len(set(ids)) == len(ids) for ids in ambiguous),
        len(ambiguous) > 1 and len({frozenset(ids) for ids in ambiguous}) == 1,
    )


def _ids(lines: Lines, form: str) -> list[str]:
    """Ids of the lines that can be read in a format."""
    rest = list(lines)
    parse, ids = _parser(form, rest), []
    for _, line in rest:
        with contextlib.suppress(ValueError):
            ids.append(parse(line).id)
    return ids


def _parser(form: str, lines: Lines) -> Callable[[str], Utterance]:
    """Parser of lines in a format; a header line is removed from `lines`."""
    if form != "tsv":
        return {"text": _text, "trn": _trn, "json": _json}[form]
    heads = [head.strip().lower() for head in lines[0][1].split("\t")]
    if "text" not in heads or not {"id", "path"} & set(heads):
        return _tsv
    lines.pop(0)
    return lambda line: _columns(heads, line)


def _text(line: str) -> Utterance:
    name, *text = line.split(maxsplit=1)
    return Utterance(name, "".join(text).strip())


def _trn(line: str) -> Utterance:
    if not (found := _TRN.match(line)):
        raise ValueError("no (id) at the end of the line")
    return Utterance(found[2], found[1].strip())


def _tsv(line: str) -> Utterance:
    name, *texts = line.split("\t")
    if len(texts) != 1:
        raise ValueError(f"{len(texts) + 1} columns, expected 2")
    return Utterance(_named(name), texts[0].strip())


def _columns(heads: list[str], line: str) -> Utterance:
    cells = line.split("\t")
    if len(cells) != len(heads):
        raise ValueError(f"{len(cells)} columns, the header has {len(heads)}")
    return _of(dict(zip(heads, cells, strict=True)))


def _json(line: str) -> Utterance:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(data, dict):
        raise ValueError("no JSON object")
    return _of(data)


def _of(data: Mapping[str, Any]) -> Utterance:
    """Make an utterance; ValueError if the id or the text is missing or not a string."""
    wrong = [key for key in ("id", "path", "text", "speaker") if not _is_string(data.get(key, ""))]
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: no string")
    if "text" not in data:
        raise ValueError(f"no text ({data['error']})" if "error" in data else "no text")
    name = data.get("id", "") or Path(data.get("path", "")).stem
    return Utterance(_named(name), data["text"].strip(), data.get("speaker", ""))


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _named(name: str) -> str:
    if not name.strip():
        raise ValueError("no id")
    return name.strip()


FORMS = ("text", "tsv", "trn", "json")
_SHAPES = {
    "text": "`id word word`",
    "tsv": "`id<TAB>word word`, or a header with id or path, text",
    "trn": "`word word (id)`",
    "json": '{"id" or "path": …, "text": …}',
}
