"""Sounds in which nobody speaks: as asked, repeatable, with transcripts empty on purpose."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import CutSet

from speechseq.audio.mel import AudioConfig
from speechseq.corpus import wordless
from speechseq.corpus.collate_speech import ASRCollate
from speechseq.corpus.recording import spoken
from speechseq.errors import ConfigError, DataError
from speechseq.text.vocabulary import EOS, Vocabulary

RATE = 8000


def sounds(cuts: CutSet) -> dict[str, np.ndarray]:
    return {cut.id: soundfile.read(cut.recording.sources[0].source)[0] for cut in cuts}


def recordings(folder: Path) -> CutSet:
    samples = 0.01 * np.random.default_rng(1).standard_normal(RATE)
    soundfile.write(folder / "word.wav", samples, RATE)
    return CutSet.from_cuts([spoken(folder / "word.wav", "word", "one", speaker="ann")])


def test_all_kinds_are_drawn_and_the_same_seed_repeats_them(tmp_path):
    given = {"utterances": 30, "sample_rate": RATE, "recordings": recordings(tmp_path)}
    first = sounds(wordless.make(tmp_path / "a", seed=4, **given))
    again = sounds(wordless.make(tmp_path / "b", seed=4, **given))
    other = sounds(wordless.make(tmp_path / "c", seed=5, **given))
    assert {name.split("-")[0] for name in first} == set(wordless.KINDS)
    assert first.keys() == again.keys() != other.keys()
    assert all(np.array_equal(first[name], again[name]) for name in first)
    without = wordless.make(tmp_path / "d", seed=4, **(given | {"recordings": None}))
    assert "room" not in {cut.id.split("-")[0] for cut in without}


@pytest.mark.parametrize("kind", wordless.KINDS)
def test_a_kind_is_as_long_and_as_loud_as_drawn(tmp_path, kind):
    output = sounds(
        wordless.make(
            tmp_path / "a",
            utterances=8,
            sample_rate=RATE,
            seconds=(1.0, 2.0),
            kinds=(kind,),
            recordings=recordings(tmp_path),
        )
    )
    for samples in output.values():
        assert RATE <= len(samples) <= 2 * RATE
        loudness = 20 * np.log10(max(np.sqrt(np.square(samples).mean()), 1e-9))
        if kind == "zeros":
            assert not samples.any()
        else:
            assert -75 < loudness < -9


def test_only_a_transcript_that_is_empty_on_purpose_is_taken(tmp_path):
    cuts = wordless.make(tmp_path / "a", utterances=2, sample_rate=RATE)
    audio = dataclasses.replace(AudioConfig.preset("las"), sample_rate=RATE, fmax=4000.0)
    collate = ASRCollate(Vocabulary.words(["one", "two"]), audio)
    collate.check(cuts)
    batch = collate(list(cuts))
    assert batch.tokens.tolist() == [[EOS], [EOS]]
    assert batch.token_lengths.tolist() == [1, 1]
    faster = CutSet.from_cuts(cut.perturb_speed(1.1) for cut in cuts)
    collate.check(faster)
    empty = spoken(tmp_path / "a" / "wavs" / f"{cuts[0].id}.wav", "nameless", "")
    with pytest.raises(DataError, match="nameless: no text"):
        collate.check(CutSet.from_cuts([empty]))


@pytest.mark.parametrize(
    "wrong", [{"utterances": 0}, {"seed": -1}, {"seconds": (2.0, 1.0)}, {"seconds": (0.0, 1.0)}]
)
def test_numbers_that_make_no_sense_are_refused(tmp_path, wrong):
    with pytest.raises(ConfigError):
        wordless.make(tmp_path / "a", **({"utterances": 1, "sample_rate": RATE} | wrong))
    assert not (tmp_path / "a").exists()
