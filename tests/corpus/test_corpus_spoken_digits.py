"""Digit strings: different, reproducible, and never those that are held out."""

from collections import Counter
from pathlib import Path

import pytest

from speechseq.corpus import spoken_digits
from speechseq.errors import ConfigError


def test_texts_are_different_and_repeatable_and_evenly_long() -> None:
    texts = spoken_digits.texts(2000, seed=3, shortest=3)
    assert texts == spoken_digits.texts(2000, seed=3, shortest=3)
    assert texts != spoken_digits.texts(2000, seed=4, shortest=3)
    assert len(set(texts)) == 2000
    lengths = Counter(len(text.split(" ")) for text in texts)
    assert sorted(lengths) == [3, 4, 5, 6, 7]
    assert min(lengths.values()) > 300
    words = Counter(word for text in texts for word in text.split(" "))
    assert sorted(words) == sorted(spoken_digits.WORDS)
    assert min(words.values()) > 0.08 * sum(words.values())


def test_held_out_texts_stay_unseen() -> None:
    held_out = spoken_digits.texts(60, seed=1, longest=2)
    rest = spoken_digits.texts(50, seed=1, longest=2, exclude=held_out)
    assert len(set(held_out) | set(rest)) == 110  # all there are: 10 of one digit, 100 of two
    with pytest.raises(ConfigError, match="only 50 different strings"):
        spoken_digits.texts(51, seed=2, longest=2, exclude=held_out)


def test_lengths_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="5–4"):
        spoken_digits.texts(1, seed=0, shortest=5, longest=4)


def test_three_hundred_strings_are_six_minutes(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader", reason="needs the extra `espeak`")
    unseen = spoken_digits.texts(20, seed=1)
    cuts = spoken_digits.make(tmp_path / "digits", utterances=300, seed=0, exclude=unseen)
    said = [cut.supervisions[0].text for cut in cuts]
    assert len(set(said)) == 300
    assert not set(said) & set(unseen)
    assert sum(cut.duration for cut in cuts) >= 360


def test_voices_are_drawn_by_the_seed(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader", reason="needs the extra `espeak`")
    several = {"voices": ("en-us", "en"), "rates": (150, 200), "pitches": (30, 70)}
    first = spoken_digits.make(tmp_path / "a", utterances=20, seed=5, **several)
    again = spoken_digits.make(tmp_path / "b", utterances=20, seed=5, **several)
    plain = spoken_digits.make(tmp_path / "c", utterances=20, seed=5)
    assert [cut.num_samples for cut in first] == [cut.num_samples for cut in again]
    assert [cut.num_samples for cut in first] != [cut.num_samples for cut in plain]
