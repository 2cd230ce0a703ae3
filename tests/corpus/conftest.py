"""A small folder in LJSpeech's layout: noises of different lengths, so that no two are alike."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import CutSet

from speechseq.corpus import ljspeech

RATE = 22050
REAL = Path(__file__).parents[3] / "shared" / "data"


def write_corpus(folder: Path, lengths: list[int]) -> Path:
    """Row i is "row-000i" with lengths[i] samples of noise."""
    (folder / "wavs").mkdir(parents=True)
    chance = np.random.default_rng(0)
    rows = []
    for i, length in enumerate(lengths):
        noise = chance.uniform(-0.5, 0.5, length)
        soundfile.write(folder / "wavs" / f"row-{i:04d}.wav", noise, RATE, subtype="PCM_16")
        rows.append(f"row-{i:04d}|No. {i}|number {'i' * (i % 7 + 1)}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n", "utf-8")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight rows of 3,000 to 17,000 samples."""
    return write_corpus(tmp_path / "corpus", [3000 + 2000 * i for i in range(8)])


@pytest.fixture
def cuts(folder: Path) -> CutSet:
    """The cuts of `folder`."""
    return ljspeech.read(folder)


@pytest.fixture(scope="session")
def real_ljspeech() -> Path:
    """365 utterances of LJSpeech."""
    if not (REAL / "ljspeech" / "metadata.csv").is_file():
        pytest.skip("needs ../shared/data: real LJSpeech rows")
    return REAL / "ljspeech"
