"""speechseq prepare: each corpus by its own flags, what is in it, and all that is wrong with it."""

from collections.abc import Callable
from pathlib import Path

import torch

from speechseq.audio import wav


def _sound(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wav.save(path, 0.1 * torch.randn(16000), 16000)


def test_librispeech_is_told_part_by_part(speechseq: Callable, tmp_path: Path) -> None:
    for part, speaker in (("dev-clean", "84"), ("test-clean", "61")):
        folder = tmp_path / part / speaker / "1"
        _sound(folder / f"{speaker}-1-0000.wav")
        (folder / f"{speaker}-1.trans.txt").write_text(f"{speaker}-1-0000 YES\n")
    ended = speechseq("prepare", "librispeech", tmp_path, "--parts", "dev-clean", "test-clean")
    assert ended.code == 0
    assert "dev-clean: 1 utterances, 0.00 hours, 1.0 to 1.0 seconds each, 1 speaker\n" in ended.out
    assert "test-clean: 1 utterances" in ended.out
    wrong = speechseq("prepare", "librispeech", tmp_path, "--parts", "dev-claen")
    assert wrong.code == 3
    assert "did you mean 'dev-clean'?" in wrong.err
    (tmp_path / "dev-clean" / "84" / "1" / "84-1-0000.wav").unlink()
    damaged = speechseq("prepare", "librispeech", tmp_path, "--parts", "dev-clean")
    assert damaged.code == 3
    assert "84-1.trans.txt:1: " in damaged.err


def test_digits_and_an4_are_told_by_train_and_test(speechseq: Callable, tmp_path: Path) -> None:
    for index in (0, 5):
        _sound(tmp_path / "recordings" / f"1_ann_{index}.wav")
    ended = speechseq("prepare", "fsdd", tmp_path)
    assert ended.code == 0
    assert "train: 1 utterances" in ended.out
    assert "test: 1 utterances" in ended.out
    assert speechseq("prepare", "an4", tmp_path).code == 3


def test_flags_of_another_corpus_are_refused(speechseq: Callable, tmp_path: Path) -> None:
    for name, flag in (("fsdd", "--download"), ("librispeech", "--skip-bad"), ("an4", "--parts")):
        ended = speechseq("prepare", name, tmp_path, flag)
        assert ended.code == 2
        assert f"unknown flag {flag}" in ended.err
