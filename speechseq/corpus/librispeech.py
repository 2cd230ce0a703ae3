"""LibriSpeech: 1,000 hours of read English, 16 kHz, in parts (openslr.org/12, CC BY 4.0)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lhotse import CutSet, MonoCut
from tqdm import tqdm

from speechseq import files
from speechseq.config import nearest
from speechseq.corpus import download as archive
from speechseq.corpus.metadata import TEXTS, refuse
from speechseq.corpus.recording import spoken, wav_of
from speechseq.errors import ConfigError, DataError

URL = "https://www.openslr.org/resources/12"
SUFFIXES = (".flac", ".wav")
_FOLDER = "LibriSpeech"
_UNPACKED = 1.15  # maximum ratio to the archive's size, as FLAC cannot be compressed further


class Archive(NamedTuple):
    """Published archive of a part of LibriSpeech, to check a download of it.

    Attributes:
        size: size in bytes.
        sha256: SHA-256 in hexadecimal digits.
    """

    size: int
    sha256: str


PARTS = {
    "dev-clean": Archive(
        337926286, "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3"
    ),
    "dev-other": Archive(
        314305928, "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365"
    ),
    "test-clean": Archive(
        346663984, "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23"
    ),
    "test-other": Archive(
        328757843, "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29"
    ),
    "train-clean-100": Archive(
        6387309499, "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2"
    ),
    "train-clean-360": Archive(
        23049477885, "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf"
    ),
    "train-other-500": Archive(
        30593501606, "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2"
    ),
}


def read(
    root: Path | str, parts: Sequence[str] = ("train-clean-100",), *, lower: bool = True
) -> CutSet:
    """Read parts of LibriSpeech, one lhotse cut per utterance.

    Text and speaker are in the cut's supervision.

    Args:
        root: the folder LibriSpeech, or its parent, with
            <part>/<speaker>/<chapter>/<speaker>-<chapter>.trans.txt next to the sounds (flac or
            wav). Missing files, which lhotse's own recipe skips silently, are errors here.
        parts: names of parts, which are folders of this layout.
        lower: convert texts to lower case.

    Raises:
        DataError: a part does not exist; transcripts are empty, duplicate or without sound; or
            sounds are damaged or without transcript. All of them are listed.
    """
    folder = Path(root).resolve()
    folder = folder / _FOLDER if (folder / _FOLDER).is_dir() else folder
    if not parts:
        raise ConfigError("parts: none is named", "for example: train-clean-100")
    for part in parts:
        if not (folder / part).is_dir():
            there = [path.name for path in folder.glob("*/") if path.is_dir()]
            raise DataError(f"{folder / part}: no such part", nearest(part, there))
    cuts: dict[str, MonoCut] = {}
    problems: list[str] = []
    lines = [line for part in parts for line in _lines(folder / part, problems)]
    for path, number, line in tqdm(
        lines, desc="LibriSpeech", unit="cut", disable=None, leave=False
    ):
        try:
            cut = _cut(path, line, lower)
            if cut.id in cuts:
                raise DataError(f"the id {cut.id!r} stands twice")
            cuts[cut.id] = cut
        except DataError as error:
            problems.append(f"{path}:{number}: {error.problem}")
    refuse(problems, "copy these again, or remove them (transcript and sound)")
    if not cuts:
        raise DataError(f"{folder}: no transcripts in {', '.join(parts)}", "unpack it again")
    return CutSet.from_cuts(cuts.values())


def download(dest: Path | str, parts: Sequence[str] = ("train-clean-100",)) -> Path:
    """Download and unpack parts of LibriSpeech (0.3 to 31 GB each); return `dest`/LibriSpeech.

    Args:
        dest: folder to download into.
        parts: names of published parts, such as "train-clean-100" or "test-clean".

    Raises:
        ConfigError: no published part has that name.
        MachineError: there is no network, or the disk is full.
        DataError: an archive is not the published one.
    """
    for part in parts:
        if part not in PARTS:
            raise ConfigError(f"parts: unknown {part!r}", nearest(part, PARTS))
    folder = Path(dest) / _FOLDER
    for part in parts:
        if not (folder / part).is_dir():
            size, sha256 = PARTS[part]
            bundle = Path(dest) / f"{part}.tar.gz"
            archive.fetch(f"{URL}/{part}.tar.gz", bundle, sha256=sha256, size=size)
            inside = f"{_FOLDER}/{part}"
            archive.unpack(bundle, folder / part, size=int(size * _UNPACKED), inside=inside)
    return folder


def _lines(part: Path, problems: list[str]) -> Iterator[tuple[Path, int, str]]:
    """Yield file, number and text of each transcript line; add sounds without one to `problems`."""
    for path in sorted(part.rglob("*.trans.txt")):
        try:
            lines = files.read_text(path, TEXTS).split("\n")
        except DataError as error:
            problems.append(error.problem)
            continue
        yield from ((path, i, line) for i, line in enumerate(lines, start=1) if line.strip())
        said = {line.split(maxsplit=1)[0] for line in lines if line.strip()}
        sounds = (sound for sound in path.parent.iterdir() if sound.suffix in SUFFIXES)
        for sound in sorted(sound for sound in sounds if sound.stem not in said):
            problems.append(f"{path}: has no line for {sound.name}")


def _cut(path: Path, line: str, lower: bool) -> MonoCut:
    name, _, text = line.strip().partition(" ")
    speaker, _, chapter = path.name.removesuffix(".trans.txt").partition("-")
    if not name.startswith(f"{speaker}-{chapter}-") or "/" in name:
        raise DataError(f"the id {name!r} is not of {speaker}-{chapter}")
    if not text.strip():
        raise DataError(f"{name}: empty text")
    text = text.strip().lower() if lower else text.strip()
    return spoken(wav_of(path.parent, name, SUFFIXES), name, text, speaker=speaker)
