"""The joining evaluation counts errors by way of joining, and words where nobody speaks."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from speechseq.audio.mel import AudioConfig
from speechseq.corpus import fsdd, wordless
from speechseq.corpus.joining import JoiningConfig
from speechseq.corpus.spoken_digits import WORDS
from speechseq.evaluation.joining import JoiningEvaluation, evaluate_joining
from speechseq.inference.timestamps import Word
from speechseq.inference.transcript import Transcript

RATE = 8000
WAYS = {
    "own": JoiningConfig(gain=(0.0, 0.0)),
    "silence": JoiningConfig(pause=(0.1, 0.2), background="silence", gain=(0.0, 0.0)),
}


@dataclasses.dataclass
class Levels:
    """Hears the constant of each recording as its digit; a pause of zeros as the word "zero"."""

    audio: AudioConfig = dataclasses.replace(
        AudioConfig.preset("las"), sample_rate=RATE, fmax=4000.0
    )
    no_speech: float = 0.0

    def transcribe(
        self,
        sounds: Sequence[tuple[Tensor, int]],
        *,
        beam: int = 8,
        strategy: object = None,
        scorers: Sequence[object] = (),
    ) -> list[Transcript]:
        return [self.write(waveform[0]) for waveform, _ in sounds]

    def write(self, samples: Tensor) -> Transcript:
        levels, counts = torch.unique_consecutive((samples * 20).round(), return_counts=True)
        said = [
            WORDS[int(level)]
            for level, count in zip(levels, counts, strict=True)
            if count > 99 and 0 <= level < 10
        ]
        words = tuple(Word(text=word, start=0.0, end=0.1, confidence=1.0) for word in said)
        return Transcript(
            text=" ".join(said),
            log_prob=0.0,
            finished=True,
            words=words,
            tokens=(),
            token_confidences=(),
            symbols=("<eos>",),
            alignment=torch.ones(1, 1),
            seconds_per_position=0.04,
            n_best=(),
            seconds=1.0,
            no_speech=self.no_speech,
        )


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("published") / "recordings"
    folder.mkdir()
    for digit in range(10):
        for index in (0, 5):
            samples = np.full(400 + 10 * digit, digit / 20)
            soundfile.write(folder / f"{digit}_ann_{index}.wav", samples, RATE)
    return fsdd.read(folder.parent).test


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speechseq.evaluation.joining._WORDLESS", 3)


def evaluated(recordings, folder: Path, no_speech: float) -> JoiningEvaluation:
    return evaluate_joining(
        Levels(no_speech=no_speech), recordings, folder, utterances=10, longest=3, ways=WAYS
    )


def test_errors_are_counted_by_way_and_words_by_kind_of_sound(recordings, tmp_path):
    found = evaluated(recordings, tmp_path, no_speech=0.1)
    strings = found.joined["silence"].items
    assert [item.text for item in strings] == [item.text for item in found.joined["own"].items]
    assert found.wer["silence"] > 1 > found.wer["own"]  # each pause is heard as a word
    assert found.wordless.keys() == set(wordless.KINDS)
    assert found.invented["zeros"] == len(found.wordless["zeros"])
    assert found.unmarked == found.invented
    assert found.doubted == 0
    assert "silence" in found.line()
    assert {"wer", "invented_words", "unmarked_words", "marked_strings"} == set(found.data())
    assert found.figures()[-1].good is False


def test_marked_transcripts_are_told_apart(recordings, tmp_path):
    found = evaluated(recordings, tmp_path, no_speech=0.9)
    assert found.invented["zeros"] > 0
    assert sum(found.unmarked.values()) == 0
    assert found.doubted == 20
    assert found.figures()[-1].good
