"""Trimming at preparation: edges only, pauses inside stay, and mels of the shorter sounds."""

from pathlib import Path

import pytest
import torch

from speechseq.audio import wav
from speechseq.audio.mel import AudioConfig, frames_of
from speechseq.corpus import features
from speechseq.corpus.ljspeech import LJSpeechConfig
from speechseq.corpus.trimming import trim_cuts
from speechseq.errors import DataError

RATE = 22050
BEFORE, TONE, PAUSE, AFTER = 11025, 8820, 13230, 4410  # samples


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two clips: tone, pause, tone between silences; and a tone from end to end."""
    tone = 0.5 * torch.sin(torch.arange(TONE) * 0.1)
    quiet = 1e-4 * torch.randn(BEFORE + PAUSE + AFTER, generator=torch.Generator().manual_seed(1))
    first, pause, last = quiet.split([BEFORE, PAUSE, AFTER])
    (tmp_path / "wavs").mkdir()
    wav.save(tmp_path / "wavs/a.wav", torch.cat([first, tone, pause, tone, last]), RATE)
    for name in ("b", "c", "d"):
        wav.save(tmp_path / f"wavs/{name}.wav", torch.cat([tone, tone]), RATE)
    rows = [f"{name}|word|word\n" for name in "abcd"]
    (tmp_path / "metadata.csv").write_text("".join(rows), "utf-8")
    return tmp_path


def settings(root: Path, *, trim: bool) -> LJSpeechConfig:
    return LJSpeechConfig(root=str(root), cache=str(root / "cache"), dev=1, test=1, trim=trim)


def test_edges_go_and_the_pause_stays(root: Path) -> None:
    whole, trimmed = (
        {cut.id: cut for part in settings(root, trim=trim).read() for cut in part}
        for trim in (False, True)
    )
    assert whole.keys() == trimmed.keys()
    audio = AudioConfig()
    before, after = (features.load_waveform(cuts["a"], audio) for cuts in (whole, trimmed))
    margin = round(0.05 * RATE)
    kept = 2 * TONE + PAUSE + 2 * margin
    assert abs(after.shape[1] - kept) <= 0.045 * RATE  # a window of 20 ms at each end, and a hop
    start = round(trimmed["a"].start * RATE)
    assert torch.equal(after, before[:, start : start + after.shape[1]])
    assert BEFORE - margin - 0.03 * RATE <= start <= BEFORE - margin
    said = trimmed["a"].supervisions[0]
    assert (said.text, said.start, said.duration) == ("word", 0.0, trimmed["a"].duration)
    assert trimmed["b"] == whole["b"]


def test_mels_are_those_of_the_trimmed_sound_whatever_the_cache_holds(root: Path) -> None:
    audio = AudioConfig()
    lengths = []
    for trim in (False, True, False):
        cuts = [cut for part in settings(root, trim=trim).read() for cut in part if cut.id == "a"]
        (cut,) = features.compute(trimmed_set(cuts), audio, root / "cache")
        mel = features.load_mel(cut, audio)
        assert len(mel) == frames_of(features.load_waveform(cut, audio).shape[1], audio)
        lengths.append(len(mel))
    assert lengths[0] == lengths[2] > lengths[1]


def trimmed_set(cuts):  # type: ignore[no-untyped-def]
    from lhotse import CutSet

    return CutSet.from_cuts(cuts)


def test_a_lost_sound_is_listed_by_the_features_not_here(root: Path) -> None:
    cuts = settings(root, trim=False).read().train
    lost = next(iter(cuts)).id
    (root / f"wavs/{lost}.wav").write_bytes(b"RIFF")
    kept = trim_cuts(cuts)
    assert len(kept) == len(cuts)
    with pytest.raises(DataError, match=lost):
        features.compute(kept, AudioConfig(), root / "cache")
