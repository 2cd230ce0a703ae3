"""LJSpeech-1.1 (one reader, 13,100 clips, 24 hours, public domain), and folders of its layout."""

import dataclasses
import hashlib
import logging
import os
from pathlib import Path
from typing import NamedTuple

from lhotse import CutSet, MonoCut

from speechseq.config import Config
from speechseq.corpus import download as archive
from speechseq.corpus import metadata
from speechseq.corpus.recording import SUFFIXES, spoken, wav_of
from speechseq.corpus.trimming import trim_cuts
from speechseq.errors import ConfigError, DataError
from speechseq.ranges import Count

URL = "https://data.keithito.com/data/speech/LJSpeech-1.1.tar.bz2"
SHA256 = "be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5"
ARCHIVE_BYTES = 2_748_572_632
FOLDER_BYTES = 3_900_000_000
_MEND = "mend these rows, or leave them out: --skip-bad, and --skip_bad true in a recipe"
_log = logging.getLogger(__name__)


class Splits(NamedTuple):
    """Corpus as lhotse cuts in three parts that share no utterance; result of `read_split`.

    Attributes:
        train: utterances for training.
        dev: utterances for development, such as validation.
        test: utterances for the test.
    """

    train: CutSet
    dev: CutSet
    test: CutSet


@dataclasses.dataclass(frozen=True, kw_only=True)
class LJSpeechConfig(Config):
    """Settings of LJSpeech, or of a corpus with its layout, in a recipe; `read` reads the corpus.

    Attributes:
        root: folder with metadata.csv and sounds.
        cache: folder of cached features; see `features.compute`.
        skip_bad: log bad rows and leave them out, instead of raising an error.
        columns: names of the columns, such as "id,text,speaker"; "" recognises them.
        dev: number of utterances of the development part.
        test: number of utterances of the test part.
        trim: cut the silence at both ends of every recording (`trimming.trim_cuts`).
    """

    root: str = "data/raw/LJSpeech-1.1"
    cache: str = "data/cache"
    skip_bad: bool = False
    columns: str = ""
    dev: Count = 100
    test: Count = 500
    trim: bool = False

    def read(self) -> Splits:
        """Read the corpus and split it into training, development and test; see `read_split`."""
        splits = read_split(
            self.root, dev=self.dev, test=self.test, skip_bad=self.skip_bad, columns=self.columns
        )
        return Splits(*map(trim_cuts, splits)) if self.trim else splits


def read(
    root: Path | str, *, skip_bad: bool = False, normalized: bool = True, columns: str = ""
) -> CutSet:
    """Read a corpus with the layout of LJSpeech, one lhotse cut per row of `root`/metadata.csv.

    The text is in the cut's supervision. All rows and the headers of all sounds are checked before
    an error is raised.

    Args:
        root: folder with metadata.csv; sounds (wav or flac) are in `root`/wavs, `root`/wav or
            `root`.
        skip_bad: log bad rows and leave them out, instead of raising an error.
        normalized: take texts from the column of normalised texts, if there is one; False takes the
            column of raw texts.
        columns: names of the columns, such as "id,text,speaker"; "" takes the names of a header
            line, or LJSpeech's own (see `metadata.rows`).

    Raises:
        ConfigError: `columns` is invalid.
        DataError: rows are bad; the message has file, line and reason of at most 50. With
            `skip_bad` it means that no good row is left.

    Examples:
        >>> cuts = read("data/mine")
        >>> [cut.supervisions[0].text for cut in cuts]
        ['one', 'two']
    """
    path = Path(root).resolve() / "metadata.csv"
    rows, problems = metadata.rows(path, columns=columns or (3 if normalized else 2))
    cuts = []
    for row in rows:
        try:
            cuts.append(_cut(path.parent, row, normalized))
        except DataError as error:
            problems.append(f"{path}:{row.line}: {error.problem}")
    problems.sort(key=lambda problem: int(problem.removeprefix(f"{path}:").split(":")[0]))
    if not skip_bad or not cuts:
        metadata.refuse(problems, _MEND)
    for problem in problems:
        _log.warning("left out: %s", problem)
    if not cuts:
        raise DataError(f"{path}: no rows", "name the folder of a corpus")
    return CutSet.from_cuts(cuts)


def split(cuts: CutSet, *, dev: int = 100, test: int = 500) -> Splits:
    """Split a corpus by a hash of the ids, so that the split is the same on every machine.

    The default numbers are those of the lists that most Tacotron 2 and vocoder papers use for
    LJSpeech: 12,500, 100 and 500 of 13,100 utterances.

    Args:
        cuts: the corpus.
        dev: number of utterances of the development part.
        test: number of utterances of the test part; all others are for training.

    Raises:
        ConfigError: no utterance would be left for training.
    """
    ids = sorted((cut.id for cut in cuts), key=lambda id: hashlib.sha256(id.encode()).digest())
    if min(dev, test) < 0 or dev + test >= len(ids):
        raise ConfigError(
            f"{len(ids)} utterances do not yield {dev} for dev, {test} for test and a rest",
            "give sizes that fit; recipes take them as --dev and --test",
        )
    held = [set(ids[:dev]), set(ids[dev : dev + test])]
    return _parts(cuts, [set(ids[dev + test :]), *held])


def read_split(
    root: Path | str,
    *,
    dev: int = 100,
    test: int = 500,
    skip_bad: bool = False,
    normalized: bool = True,
    columns: str = "",
) -> Splits:
    """Read a corpus with the layout of LJSpeech, and split it into training, development and test.

    The files metadata_train.csv, metadata_dev.csv and metadata_test.csv in the folder determine the
    parts; without them, `split` does.

    Args:
        root: folder with metadata.csv and sounds, see `read`.
        dev: number of utterances of the development part, for `split`.
        test: number of utterances of the test part, for `split`.
        skip_bad: log bad rows and leave them out, instead of raising an error.
        normalized: take texts from the column of normalised texts, see `read`.
        columns: names of the columns, such as "id,text,speaker"; "" recognises them, see `read`.

    Raises:
        DataError: see `read`; also, the three files name an id twice, or one that metadata.csv
            lacks.
        ConfigError: see `split`.
    """
    cuts = read(root, skip_bad=skip_bad, normalized=normalized, columns=columns)
    lists = [Path(root).resolve() / f"metadata_{part}.csv" for part in Splits._fields]
    if not (lists[0].is_file() and lists[1].is_file()):
        return split(cuts, dev=dev, test=test)
    parts: list[set[str]] = []
    for path in lists:
        found = metadata.rows(path, columns=columns or 2)[0] if path.is_file() else []
        parts.append({row.id for row in found})
    named = [id for part in parts for id in part]
    if len(named) != len(set(named)):
        raise DataError(f"{lists[0].parent}: metadata_*.csv share an id", "name every id once")
    known = {cut.id for cut in cuts}
    if not skip_bad and (lost := sorted(set(named) - known)):
        raise DataError(f"{lists[0].parent}: metadata.csv lacks {lost[0]!r}, which a list names")
    return _parts(cuts, parts)


def download(dest: Path | str) -> Path:
    """Download and unpack LJSpeech-1.1 (2.7 GB, 3.8 GB unpacked) in `dest`; return its folder.

    Raises:
        MachineError: there is no network, or the disk is full.
        DataError: the archive is not the published one.
    """
    folder = Path(dest) / "LJSpeech-1.1"
    if folder.is_dir():
        return folder
    bundle = Path(dest) / "LJSpeech-1.1.tar.bz2"
    archive.fetch(URL, bundle, sha256=SHA256, size=ARCHIVE_BYTES)
    return archive.unpack(bundle, folder, size=FOLDER_BYTES)


def _parts(cuts: CutSet, parts: list[set[str]]) -> Splits:
    return Splits(*(CutSet.from_cuts(cut for cut in cuts if cut.id in ids) for ids in parts))


def _cut(root: Path, row: metadata.Row, normalized: bool) -> MonoCut:
    text = row.normalized if normalized else row.raw
    parents = (root / name for name in ("wav", ""))
    folders = [f for f in parents if any(os.path.lexists(f / f"{row.id}{s}") for s in SUFFIXES)]
    folder = next((f for f in folders if not (root / "wavs").is_dir()), root / "wavs")
    speaker = row.speaker or None
    return spoken(wav_of(folder, row.id), row.id, text, raw_text=row.raw, speaker=speaker)
