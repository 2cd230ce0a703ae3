"""LibriSpeech: all of it or a list of what is wrong, and the same as lhotse where nothing is."""

import hashlib
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse.recipes import prepare_librispeech

from speechseq.corpus import download, librispeech
from speechseq.errors import ConfigError, DataError

LINES = ["HE HOPED THERE WOULD BE STEW", "YES"]


def _sound(path: Path) -> None:
    noise = np.random.default_rng(len(path.name)).uniform(-0.5, 0.5, 400)
    soundfile.write(path, noise, 16000, subtype="PCM_16")


def _chapter(part: Path, speaker: str, chapter: str) -> Path:
    folder = part / speaker / chapter
    folder.mkdir(parents=True)
    names = [f"{speaker}-{chapter}-{i:04d}" for i in range(len(LINES))]
    for name in names:
        _sound(folder / f"{name}.flac")
    rows = [f"{name} {line}\n" for name, line in zip(names, LINES, strict=True)]
    (folder / f"{speaker}-{chapter}.trans.txt").write_text("".join(rows))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two parts: three chapters of two speakers to develop on, one to train on."""
    for speaker, chapter in (("84", "121"), ("84", "122"), ("1272", "128")):
        _chapter(tmp_path / "LibriSpeech" / "dev-clean", speaker, chapter)
    _chapter(tmp_path / "LibriSpeech" / "train-clean-100", "19", "198")
    return tmp_path


def test_it_reads_what_lhotse_reads(root: Path) -> None:
    cuts = librispeech.read(root, ["dev-clean"], lower=False)
    theirs = prepare_librispeech(root / "LibriSpeech", dataset_parts="dev-clean")["dev-clean"]
    assert sorted(cuts.ids) == sorted(theirs["recordings"].ids)
    for cut in cuts:
        recording = theirs["recordings"][cut.id]
        segment = theirs["supervisions"][cut.id]
        (said,) = cut.supervisions
        assert (said.text, said.speaker) == (segment.text, segment.speaker)
        assert cut.recording.sources[0].source == recording.sources[0].source
        assert cut.recording.num_samples == recording.num_samples


def test_parts_are_joined_and_texts_are_lower_unless_told(root: Path) -> None:
    both = librispeech.read(root / "LibriSpeech", ["dev-clean", "train-clean-100"])
    assert len(both) == 8
    assert {cut.supervisions[0].text for cut in both} == {line.lower() for line in LINES}
    assert len(librispeech.read(root)) == 2


def _missing(folder: Path) -> None:
    (folder / "84-121-0000.flac").unlink()


def _cut(folder: Path) -> None:
    path = folder / "84-121-0001.flac"
    path.write_bytes(path.read_bytes()[:20])


def _unsaid(folder: Path) -> None:
    _sound(folder / "84-121-0002.flac")


def _appended(line: str) -> Callable[[Path], None]:
    def append(folder: Path) -> None:
        with open(folder / "84-121.trans.txt", "a") as file:
            file.write(line)

    return append


def _latin(folder: Path) -> None:
    (folder / "84-121.trans.txt").write_bytes(b"84-121-0000 CAF\xc9\n")


@pytest.mark.parametrize(
    ("spoil", "where", "reason"),
    [
        (_missing, ":1:", "84-121-0000.flac: no such file (nor .wav)"),
        (_cut, ":2:", "84-121-0001.flac"),
        (_unsaid, ":", "has no line for 84-121-0002.flac"),
        (_appended("84-121-0002\n"), ":3:", "84-121-0002: empty text"),
        (_appended("84-121-0001 YES\n"), ":3:", "stands twice"),
        (_appended("84-122-0001 YES\n"), ":3:", "is not of 84-121"),
        (_latin, ":1:", "not UTF-8"),
    ],
)
def test_nothing_is_lost_in_silence(root: Path, spoil: Callable, where: str, reason: str) -> None:
    folder = root / "LibriSpeech" / "dev-clean" / "84" / "121"
    spoil(folder)
    with pytest.raises(DataError, match="1 bad row") as caught:
        librispeech.read(root, ["dev-clean"])
    assert f"84-121.trans.txt{where}" in caught.value.problem
    assert reason in caught.value.problem


def test_an_unknown_part_is_refused_with_its_nearest(root: Path) -> None:
    with pytest.raises(DataError, match="no such part") as caught:
        librispeech.read(root, ["dev-claen"])
    assert "did you mean 'dev-clean'?" in caught.value.cure
    with pytest.raises(ConfigError) as wrong:
        librispeech.download(root, ["dev-claen"])
    assert "did you mean 'dev-clean'?" in wrong.value.cure
    with pytest.raises(ConfigError, match="none is named"):
        librispeech.read(root, [])
    (root / "LibriSpeech" / "empty").mkdir()
    with pytest.raises(DataError, match="no transcripts in empty"):
        librispeech.read(root, ["empty"])


def test_parts_are_fetched_one_after_the_other_into_one_folder(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published, asked = tmp_path / "published", []
    published.mkdir()
    for part in ("dev-clean", "train-clean-100"):
        with tarfile.open(published / f"{part}.tar.gz", "w:gz") as tar:
            tar.add(root / "LibriSpeech" / part, f"LibriSpeech/{part}")
        packed = (published / f"{part}.tar.gz").read_bytes()
        sums = librispeech.Archive(len(packed), hashlib.sha256(packed).hexdigest())
        monkeypatch.setitem(librispeech.PARTS, part, sums)

    def fetch(url: str, path: Path, *, sha256: str, size: int) -> Path:
        asked.append(url)
        path.write_bytes((published / path.name).read_bytes())
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
        return path

    monkeypatch.setattr(download, "fetch", fetch)
    dest = tmp_path / "dest"
    dest.mkdir()
    librispeech.download(dest, ["dev-clean"])
    folder = librispeech.download(dest, ["dev-clean", "train-clean-100"])
    assert asked == [
        f"{librispeech.URL}/{part}.tar.gz" for part in ("dev-clean", "train-clean-100")
    ]
    assert len(librispeech.read(folder, ["dev-clean", "train-clean-100"])) == 8
