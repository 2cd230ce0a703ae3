"""The Free Spoken Digit Dataset: 3,000 recordings of single digits by 6 speakers, 8 kHz.

It is published at github.com/Jakobovski/free-spoken-digit-dataset under CC BY-SA 4.0, which also
applies to derived works.
"""

import re
from pathlib import Path

from lhotse import CutSet, MonoCut

from speechseq.corpus.metadata import refuse
from speechseq.corpus.recording import spoken
from speechseq.corpus.spoken_digits import WORDS
from speechseq.corpus.table import Parts, read_parts
from speechseq.errors import DataError

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
_TEST = 5  # of each speaker and digit the recordings 0–4 are the test, as published
_NAME = re.compile(r"([0-9])_(\w+)_([0-9]+)")


def read(root: Path | str) -> Parts:
    """Read the Free Spoken Digit Dataset as a training and a test part, one cut per recording.

    They are lhotse cuts, whose supervision has the digit as a word, and the speaker.

    Args:
        root: folder with train.tsv and test.tsv (see `table.read`), or the published repository
            with recordings/<digit>_<speaker>_<index>.wav, of which indices 0–4 are the test part.

    Raises:
        DataError: the folder has neither layout; or recordings are missing, damaged or wrongly
            named, all of which are listed.
    """
    folder = Path(root).resolve()
    if parts := read_parts(folder):
        return parts
    if not (folder / "recordings").is_dir():
        raise DataError(
            f"{folder}: holds neither train.tsv nor recordings/",
            "name the folder of the Free Spoken Digit Dataset",
        )
    return _published(folder / "recordings")


def _published(folder: Path) -> Parts:
    train: list[MonoCut] = []
    test: list[MonoCut] = []
    problems = []
    for path in sorted(folder.glob("*.wav")):
        try:
            if not (name := _NAME.fullmatch(path.stem)):
                raise DataError(f"{path}: is not named <digit>_<speaker>_<index>.wav")
            digit, speaker, index = int(name[1]), name[2], int(name[3])
            cut = spoken(path, path.stem, WORDS[digit], speaker=speaker)
            (test if index < _TEST else train).append(cut)
        except DataError as error:
            problems.append(error.problem)
    refuse(problems, "copy these recordings again, or remove them")
    if not train or not test:
        raise DataError(f"{folder}: {len(train)} recordings to train, {len(test)} to test")
    return Parts(CutSet.from_cuts(train), CutSet.from_cuts(test))
