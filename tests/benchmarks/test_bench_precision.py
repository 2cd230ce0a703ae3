"""Benchmark of rounded weights: errors of mels, and word errors compared with chance."""

import json
import sys
from pathlib import Path

import precision
import pytest
import torch
from judged_voice import WordErrors, unlearned_digits
from tiny_voice import AUDIO, VOCABULARY, save_voice, tiny_model

from speechseq.batch import TTSBatch
from speechseq.corpus import spoken_digits
from speechseq.nn.eval_mode import evaluating

LEARNED = {"utterances": 12, "seed": 0, "longest": 2, "voices": ("en-gb",), "rates": (300,)}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run of the demo's voice, with the strings that were learned."""
    folder = tmp_path_factory.mktemp("corpus")
    spoken_digits.make(folder / "train", **LEARNED)
    return folder


def test_fed_frames_make_the_mel_of_training() -> None:
    model, frames = tiny_model(), 24  # a multiple of r: the post-net sees no frame beyond them
    batch = TTSBatch(
        tokens=torch.randint(1, len(VOCABULARY), (1, 9)),
        token_lengths=torch.tensor([9]),
        mel=torch.randn(1, frames, AUDIO.mels),
        frame_lengths=torch.tensor([frames]),
    )
    with torch.inference_mode(), evaluating(model):
        mel, true = precision.forced_mel(model, batch, "float32"), model(batch).mel_after[0]
    torch.testing.assert_close(mel, true, rtol=0, atol=1e-5)


def test_a_rate_is_all_errors_over_all_words() -> None:
    errors = WordErrors(errors=[[1, 0], [0, 3]], ref=[1, 9])
    assert (errors.wer, errors.words, errors.wers) == (4 / 20, 20, [1 / 10, 3 / 10])


def test_seeds_that_err_alike_tell_no_more_than_one() -> None:
    ref, none = [4] * 60, [0] * 60
    errors = [int(text % 5 == 0) for text in range(60)]
    once = WordErrors([errors], ref).beside(WordErrors([none], ref))
    often = WordErrors([errors] * 4, ref).beside(WordErrors([none] * 4, ref))
    assert often.difference == once.difference == pytest.approx(1 / 20)
    assert often.interval == once.interval


def test_errors_that_move_between_texts_are_chance_and_more_of_them_are_not() -> None:
    ref = [4] * 40
    first, second = [1, 0] * 20, [0, 1] * 20
    moved = WordErrors([first], ref).beside(WordErrors([second], ref))
    assert moved.difference == 0
    assert moved.interval.low < 0 < moved.interval.high
    worse = WordErrors([[1] * 40], ref).beside(WordErrors([first], ref))
    assert worse.interval.low > 0
    assert worse.p_value < 0.01


def test_strings_to_judge_were_not_learned_and_are_said_alike(corpus: Path) -> None:
    texts = {cut.supervisions[0].text for cut in unlearned_digits(corpus, 30)}
    learned, unlearned = (
        json.loads((corpus / part / "manifest.json").read_text("utf-8"))["utterances"]
        for part in ("train", "unlearned")
    )
    assert len(texts) == len(unlearned) == 30
    assert texts.isdisjoint(utterance["text"] for utterance in learned)
    kinds = [{(u["voice"], u["rate"], u["pitch"]) for u in part} for part in (learned, unlearned)]
    assert kinds[0] == kinds[1] == {("en-gb", 300, 50)}


@pytest.mark.filterwarnings("ignore::speechseq.audio.wav.WavWarning")
def test_the_command_judges_every_precision_beside_the_recordings(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    voice = str(save_voice(tmp_path / "voice"))
    flags = ["--root", str(corpus), "--cache", str(tmp_path), "--judge", "digits", "--threads", "1"]
    numbers = ["--judged", "3", "--seeds", "0", "5"]
    monkeypatch.setattr(sys, "argv", ["precision.py", voice, *flags, *numbers])
    precision.main()
    *lines, last = capsys.readouterr().out.splitlines()
    found = json.loads(last)
    exact, half, least = found.values()
    assert 0 == exact["error"] < half["error"] < least["error"] < 0.05
    assert exact["frames"] == least["frames"]
    assert [len(row["wers"]) for row in found.values()] == [2] * 3
    assert exact["beside"]["difference"] == 0
    assert any(line.startswith("recordings: judged WER") for line in lines)


def test_a_root_without_the_demos_strings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["voice", "--root", str(tmp_path), "--judge", "digits"]
    monkeypatch.setattr(sys, "argv", ["precision.py", *flags])
    with pytest.raises(SystemExit):
        precision.main()
    assert "`corpus` of the demo's run" in capsys.readouterr().err
