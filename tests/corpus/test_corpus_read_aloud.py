"""Sentences read aloud by espeak: the committed texts, and a split that no sentence crosses."""

import string
from pathlib import Path

import pytest

from speechseq.corpus import read_aloud, sentences
from speechseq.errors import DataError

TEXTS = Path(__file__).parents[2] / "data/texts/ljspeech.txt"


def test_the_committed_texts_are_sentences_of_few_bytes() -> None:
    texts = [sentence.text for sentence in sentences.read(TEXTS)]
    assert TEXTS.stat().st_size <= 120_000
    assert len(texts) == len(set(texts)) > 1_800
    assert set("".join(texts)) <= set(string.ascii_letters + " ,;:'\"-.?!()")
    assert {len(text) > 14 for text in texts} == {len(text) <= 60 for text in texts} == {True}


def test_no_sentence_of_the_test_is_read_in_training(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    lines = ["Here is one.", "Here is another.", "It was a cold day.", "Nobody spoke to them."]
    (tmp_path / "texts.txt").write_text("\n".join(lines), "utf-8")
    config = read_aloud.ReadAloudConfig(
        texts=str(tmp_path / "texts.txt"), test_sentences=1, digit_strings=2, words_per_minute=300
    )
    train, test = read_aloud.make(config, tmp_path / "corpus", seed=0)
    trained = [cut.supervisions[0].text for cut in train]
    (tested,) = [cut.supervisions[0].text for cut in test]
    assert sorted([*trained[:3], tested]) == sorted(lines)
    assert len(trained) == 5
    again, other = (read_aloud.make(config, tmp_path / str(seed), seed=seed)[1] for seed in (0, 1))
    assert [c.supervisions[0].text for c in again] == [c.supervisions[0].text for c in other]


def test_a_missing_file_is_named() -> None:
    with pytest.raises(DataError, match=r"nothing\.txt"):
        read_aloud.make(read_aloud.ReadAloudConfig(texts="nothing.txt"), Path("x"), seed=0)
