"""CMU's AN4 (census): an hour of letters, digits and names by 74 speakers, 16 kHz, NIST SPHERE."""

import random
import re
from pathlib import Path

from lhotse import CutSet, MonoCut

from speechseq import files
from speechseq.corpus.metadata import TEXTS, refuse
from speechseq.corpus.recording import spoken, wav_of
from speechseq.corpus.table import Parts, read_parts
from speechseq.errors import DataError

SUFFIXES = (".sph", ".wav", ".flac")
_FOLDERS = {"train": "an4_clstk", "test": "an4test_clstk"}
_LINE = re.compile(r"(?:<s>)?\s*(?P<text>.*?)\s*(?:</s>)?\s*\((?P<id>[\w-]+)\)")
_ID = re.compile(r"\w+-(?P<speaker>\w+)-\w+")  # an251-fash-b


def read(root: Path | str, *, lower: bool = True) -> Parts:
    """Read AN4 as a training and a test part, each with one lhotse cut per utterance.

    Text and speaker are in the cut's supervision.

    Args:
        root: the published folder, with wav/an4_clstk/<speaker>/<id>.sph and
            etc/an4_train.transcription with lines "<s> TEXT </s> (id)", and the same for the test
            (.wav and .flac files work too). Or a folder with train.tsv and test.tsv, see
            `table.read`.
        lower: convert texts to lower case.

    Raises:
        DataError: the folder has neither layout; or texts are bad or sounds missing or damaged, all
            of which are listed.
    """
    folder = Path(root).resolve()
    if parts := read_parts(folder, lower=lower):
        return parts
    if not (folder / "etc" / "an4_train.transcription").is_file():
        raise DataError(
            f"{folder}: holds neither train.tsv nor etc/an4_train.transcription",
            "name the folder an4 of the unpacked an4_sphere.tar.gz",
        )
    return Parts(*(_part(folder, part, lower) for part in Parts._fields))


def hold_out(cuts: CutSet, count: int, seed: int) -> Parts:
    """Split a corpus at random into a training and a test part.

    Args:
        cuts: lhotse cuts of the corpus.
        count: number of cuts of the test part, which gets at most a quarter of all cuts.
        seed: seed of the choice, which does not depend on the order of the cuts.
    """
    drawn = sorted(cuts, key=lambda cut: cut.id)
    random.Random(seed).shuffle(drawn)
    count = min(count, max(1, len(drawn) // 4))
    return Parts(CutSet.from_cuts(drawn[count:]), CutSet.from_cuts(drawn[:count]))


def _part(folder: Path, part: str, lower: bool) -> CutSet:
    path = folder / "etc" / f"an4_{part}.transcription"
    cuts: dict[str, MonoCut] = {}
    problems = []
    for number, content in files.lines(path, TEXTS):
        try:
            if line := files.decoded(path, TEXTS, number, content).strip():
                cut = _cut(folder / "wav" / _FOLDERS[part], line, lower)
                if cut.id in cuts:
                    raise DataError(f"the id {cut.id!r} stands twice")
                cuts[cut.id] = cut
        except DataError as error:
            problems.append(f"{path}:{number}: {error.problem}")
    refuse(problems, "mend these rows, or remove them")
    if not cuts:
        raise DataError(f"{path}: no transcripts")
    return CutSet.from_cuts(cuts.values())


def _cut(folder: Path, line: str, lower: bool) -> MonoCut:
    if not (said := _LINE.fullmatch(line)):
        raise DataError(f'{line!r} is not like "<s> TEXT </s> (id)"')
    if not (name := _ID.fullmatch(said["id"])):
        raise DataError(f"the id {said['id']!r} does not name a speaker (an251-fash-b does)")
    if not said["text"]:
        raise DataError(f"{said['id']}: empty text")
    path = wav_of(folder / name["speaker"], said["id"], SUFFIXES)
    text = said["text"].lower() if lower else said["text"]
    return spoken(path, said["id"], text, speaker=name["speaker"])
