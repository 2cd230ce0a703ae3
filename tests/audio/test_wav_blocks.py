"""A file read block by block gives what it gives when read at once, and is checked alike."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from speechseq.audio import wav
from speechseq.errors import DataError


def noise(samples: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.9, 0.9, (samples, channels)).astype(np.float32)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_blocks_are_the_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    soundfile.write(path, noise(2345), 8000)
    read = list(wav.blocks(path, seconds=0.1))
    assert [block.shape for block in read[:2]] == [(1, 800), (1, 800)]
    assert torch.equal(torch.cat(read, 1), wav.load(path)[0])
    assert wav.header(path) == (2345, 8000)
    assert wav.header(path).seconds == pytest.approx(2345 / 8000)


def test_channels_are_mixed_down_with_one_warning(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, noise(2000, 2), 8000, subtype="FLOAT")
    with pytest.warns(wav.WavWarning, match="2 channels mixed down") as caught:
        read = list(wav.blocks(path, seconds=0.05))
    assert len(caught) == 1
    with pytest.warns(wav.WavWarning):
        torch.testing.assert_close(torch.cat(read, 1), wav.load(path)[0])


def test_a_nan_is_named_by_its_place_in_the_file(tmp_path: Path) -> None:
    samples = noise(2000)
    samples[1234] = np.nan
    path = tmp_path / "x.wav"
    soundfile.write(path, samples, 8000, subtype="FLOAT")
    with pytest.raises(DataError, match="the first is sample 1234"):
        list(wav.blocks(path, seconds=0.05))


@pytest.mark.parametrize("content", [None, b"", b"words, no sound"])
def test_what_is_no_sound_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.wav"
    if content is not None:
        path.write_bytes(content)
    for read in (wav.header, lambda name: list(wav.blocks(name))):
        with pytest.raises(DataError, match=r"x\.wav"):
            read(path)


def test_a_cut_flac_is_refused_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    soundfile.write(path, noise(20000), 8000)
    path.write_bytes(path.read_bytes()[:-9000])
    with pytest.raises(DataError, match=r"x\.flac"):
        list(wav.blocks(path, seconds=0.1))
