"""Tables of recordings: tab-separated rows of path, text and speaker below a header line."""

from pathlib import Path
from typing import NamedTuple

from lhotse import CutSet, MonoCut

from speechseq import files
from speechseq.corpus.metadata import TEXTS, refuse
from speechseq.corpus.recording import spoken
from speechseq.errors import DataError

COLUMNS = ("path", "text", "speaker")


class Row(NamedTuple):
    """Row of a table of recordings, a file train.tsv or test.tsv; see `read`.

    Attributes:
        path: sound file, relative to the table's folder.
        text: transcript.
        speaker: name of the speaker.
    """

    path: str
    text: str
    speaker: str


class Parts(NamedTuple):
    """Corpus as lhotse cuts in two parts that share no recording.

    Attributes:
        train: recordings for training.
        test: recordings for the test.
    """

    train: CutSet
    test: CutSet


def read_parts(folder: Path, *, lower: bool = False) -> Parts | None:
    """Read a corpus with the tables train.tsv and test.tsv; None if there is no train.tsv.

    Args:
        folder: folder of the tables, see `read`.
        lower: convert texts to lower case.

    Raises:
        DataError: see `read`.
    """
    if not (folder / "train.tsv").is_file():
        return None
    return Parts(*(read(folder / f"{part}.tsv", lower=lower) for part in Parts._fields))


def read(path: Path, *, lower: bool = False) -> CutSet:
    """Read a table of recordings, a tsv file, one lhotse cut per row.

    Columns are separated by tabs; a header line names them path, text and speaker. Text and speaker
    are in the cut's supervision. The id of a cut is the name of the sound file without suffix.

    Args:
        path: the table.
        lower: convert texts to lower case.

    Raises:
        DataError: the table is missing or has another header; or rows are bad, which are listed
            with line and reason: too few columns, no text, a repeated id, or a file that is
            missing, damaged or outside the folder.
    """
    cuts: dict[str, MonoCut] = {}
    problems = []
    for line, content in _lines(path):
        try:
            row = _row(content)
            name, text = Path(row.path).stem, row.text.lower() if lower else row.text
            cut = spoken(path.parent / row.path, name, text, speaker=row.speaker)
            if cut.id in cuts:
                raise DataError(f"the id {cut.id!r} stands twice")
            cuts[cut.id] = cut
        except DataError as error:
            problems.append(f"{path}:{line}: {error.problem}")
    refuse(problems, "mend these rows, or remove them")
    if not cuts:
        raise DataError(f"{path}: no rows", "name the folder of a corpus")
    return CutSet.from_cuts(cuts.values())


def _lines(path: Path) -> list[tuple[int, str]]:
    """Return the rows below the header, with their line numbers."""
    lines = files.read_text(path, TEXTS).split("\n")
    if tuple(lines[0].split("\t")) != COLUMNS:
        raise DataError(f"{path}: the first line is not the head {'⇥'.join(COLUMNS)} (with tabs)")
    return [(i, line) for i, line in enumerate(lines, start=1) if i > 1 and line.strip()]


def _row(content: str) -> Row:
    fields = content.split("\t")
    if len(fields) != len(COLUMNS):
        raise DataError(f"{len(fields)} columns, expected 3: path, text, speaker")
    row = Row(*(field.strip() for field in fields))
    if Path(row.path).is_absolute() or ".." in Path(row.path).parts:
        raise DataError(f"the path {row.path!r} leads outside the folder")
    if not row.text or not row.speaker:
        raise DataError(f"{row.path}: no {'text' if not row.text else 'speaker'}")
    return row
