"""Spoken sentences: all of the grammar can be said, a test is unseen but for its words."""

import itertools
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from speechseq.corpus import espeak_sentences, sentence_grammar
from speechseq.errors import ConfigError


def _words(texts: list[str]) -> set[str]:
    return {word for text in texts for word in text.split()}


def test_the_grammar_is_large_and_of_plain_words() -> None:
    assert sentence_grammar.possible() > 500_000
    words = sentence_grammar.words()
    assert 300 <= len(words) <= 600
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words)
    used = {slot for template in sentence_grammar.TEMPLATES for slot in _slots(template)}
    assert used == set(sentence_grammar.SLOTS)  # no slot stands idle, none is missing
    for fillers in sentence_grammar.SLOTS.values():
        assert len(set(fillers)) == len(fillers)


def _slots(template: str) -> list[str]:
    return [part.split("}")[0] for part in template.split("{")[1:]]


def test_sentences_have_four_to_twelve_words_and_no_gaps() -> None:
    for template in sentence_grammar.TEMPLATES:
        lengths = [
            [len(filler.split()) for filler in sentence_grammar.SLOTS[slot]]
            for slot in _slots(template)
        ]
        fixed = len(template.split()) - len(lengths)
        assert fixed + sum(map(min, lengths)) >= 4
        assert fixed + sum(map(max, lengths)) <= 12
    drawn = [sentence_grammar.sentence(random.Random(i)) for i in range(500)]
    assert all(text == " ".join(text.split()) for text in drawn)
    assert _words(drawn) <= sentence_grammar.words()


def test_the_articles_fit_what_follows() -> None:
    for text in espeak_sentences.texts(5000, seed=7):
        words = text.split()
        for article, word in itertools.pairwise(words):
            assert article != "a" or word[0] not in "aeio"


def test_texts_are_different_repeatable_and_varied() -> None:
    texts = espeak_sentences.texts(3000, seed=1)
    assert texts == espeak_sentences.texts(3000, seed=1)
    assert texts[:20] != espeak_sentences.texts(20, seed=2)
    assert len(set(texts)) == 3000
    lengths = Counter(len(text.split()) for text in texts)
    assert len(lengths) >= 5
    assert _words(texts) == sentence_grammar.words()  # so many hold every word


def test_a_test_is_unseen_but_each_of_its_words_is_known() -> None:
    few = espeak_sentences.texts(300, seed=1)
    held_out = espeak_sentences.texts(200, seed=1, exclude=few, known=few)
    assert not set(few) & set(held_out)
    assert _words(held_out) <= _words(few)
    assert not _words(espeak_sentences.texts(200, seed=2)) <= _words(few)  # else this shows nothing
    with pytest.raises(ConfigError, match="of 5 sentences"):
        espeak_sentences.texts(5, seed=1, exclude=few[:1], known=few[:1])


def test_seen_and_unseen_voices_are_apart_and_repeat_byte_for_byte(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader", reason="needs the extra `espeak`")
    seen, unseen = espeak_sentences.SEEN_VOICES, espeak_sentences.UNSEEN_VOICES
    assert len(seen) == len(set(seen)) >= 8
    assert len(unseen) >= 2
    assert not set(seen) & set(unseen)
    voices = (*seen, *unseen)
    parts = []
    for name in ("a", "b"):
        parts.append(espeak_sentences.make(tmp_path / name, utterances=60, seed=3, voices=voices))
        time.sleep(1)  # the library seeds the noise of breathy voices by the second
    assert {cut.supervisions[0].speaker for cut in parts[0]} == set(voices)
    for cut, again in zip(*parts, strict=True):
        first, second = (Path(one.recording.sources[0].source) for one in (cut, again))
        assert first.read_bytes() == second.read_bytes()


def test_voice_rate_and_pitch_are_drawn_by_the_seed(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader", reason="needs the extra `espeak`")
    lengths = [
        [cut.num_samples for cut in espeak_sentences.make(tmp_path / f"{i}", utterances=5, **of)]
        for i, of in enumerate(({}, {"seed": 1}, {"rates": (100,)}))
    ]
    assert lengths[0] != lengths[1]
    assert sum(lengths[2]) > 1.3 * sum(lengths[0])
