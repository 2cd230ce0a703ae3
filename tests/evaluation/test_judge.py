"""The judge recognises real digits, independently of earlier ones, and counts words correctly."""

import csv
import sys
from pathlib import Path

import pytest
import torch

from speechseq.audio import wav
from speechseq.corpus import espeak
from speechseq.errors import DataError, MachineError
from speechseq.evaluation.judge import Judge, compare
from speechseq.inference.wer.normalize import spoken_words

pytest.importorskip("pocketsphinx")
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FSDD = DATA / "fsdd"
LJSPEECH = DATA / "ljspeech"


@pytest.fixture(scope="module")
def digits() -> Judge:
    return Judge.digits()


def real_digits(speaker: str, count: int) -> tuple[list[str], list[torch.Tensor]]:
    """Single digits of one speaker, 8 kHz."""
    if not FSDD.is_dir():
        pytest.skip("needs ../shared/data/fsdd: real spoken digits")
    with open(FSDD / "test.tsv", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["speaker"] == speaker]
    rows = rows[:: max(1, len(rows) // count)][:count]
    return [row["text"] for row in rows], [wav.load(FSDD / row["path"])[0][0] for row in rows]


def test_it_hears_a_real_speakers_digits(digits: Judge) -> None:
    judgement = digits.judge(*real_digits("lucas", 20), 8000)
    assert judgement.words.ref == 20
    assert judgement.wer <= 0.2
    assert sum(row.right for row in judgement.rows) >= 16


def test_what_it_hears_does_not_depend_on_what_it_heard_before(digits: Judge) -> None:
    _, sounds = real_digits("jackson", 6)
    first = [digits.transcribe(sound, 8000) for sound in sounds]
    again = [digits.transcribe(sound, 8000) for sound in sounds[::-1]][::-1]
    assert first == again == [Judge.digits().transcribe(sound, 8000) for sound in sounds]


def test_loudness_does_not_matter(digits: Judge) -> None:
    texts, sounds = real_digits("jackson", 6)
    hyp = [digits.transcribe(sound, 8000) for sound in sounds]
    assert hyp == [digits.transcribe(0.01 * sound, 8000) for sound in sounds]
    assert any(one == text for one, text in zip(hyp, texts, strict=True))


def test_silence_noise_and_nothing_are_no_sentence(digits: Judge) -> None:
    for sound in (torch.zeros(0), torch.zeros(1), torch.zeros(16000)):
        assert len(digits.transcribe(sound, 16000).split()) <= 1


def test_it_writes_down_a_real_sentence() -> None:
    if not LJSPEECH.is_dir():
        pytest.skip("needs ../shared/data/ljspeech: real LJSpeech rows")
    row = (LJSPEECH / "metadata_dev.csv").read_text("utf-8").splitlines()[1]
    name, _, text = row.split("|")
    waveform, rate = wav.load(LJSPEECH / "wavs" / f"{name}.flac")
    judgement = Judge.sentences().judge([text], [waveform[0]], rate)
    assert judgement.words.ref == len(text.split())
    assert judgement.wer < 0.6


def test_case_and_punctuation_are_no_errors() -> None:
    assert compare([("“Don't,” she said -- twice!", "don't she said twice")]).wer == 0
    assert spoken_words("A well-known   FACT; no?") == "a well known fact no"


def test_a_missing_package_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(MachineError, match="pocketsphinx") as caught:
        Judge.digits()
    assert "speechseq[judge]" in caught.value.cure


def test_a_judge_of_texts_mishears_fewer_words_of_espeak(tmp_path: Path) -> None:
    """Its language model holds the texts; silence and other texts are not heard as them."""
    pytest.importorskip("espeakng_loader")
    texts = [
        "He was a man of great reading.",
        "The fire had not quite burnt out at twelve.",
        "Great efforts have been made to save his life.",
        "On that day they were on the watch at the palace.",
    ]
    cuts = espeak.speak(texts, tmp_path / "said", rate=150, margin=0.05)
    sounds = [wav.load(cut.recording.sources[0].source)[0][0] for cut in cuts]
    judge = Judge.of_texts(texts)
    assert judge.judge(texts, sounds, 22050).wer <= 0.2
    assert judge.transcribe(torch.zeros(22050), 22050) == ""
    turned = [*texts[1:], texts[0]]
    assert judge.judge(turned, sounds, 22050).wer > 0.7
    with pytest.raises(DataError):
        Judge.of_texts([])
