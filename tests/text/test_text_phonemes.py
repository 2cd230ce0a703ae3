"""Phonemes of espeak, with the punctuation it drops."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechseq.errors import ConfigError
from speechseq.text.alphabet import ALPHABET
from speechseq.text.phonemes import phonemize
from speechseq.text.vocabulary import Vocabulary

pytest.importorskip("espeakng_loader", reason="needs the extra espeak")


def test_words_become_ipa() -> None:
    assert phonemize("hello world") == "həlˈoʊ wˈɜːld"


def test_punctuation_stays_where_it_stood() -> None:
    said = phonemize('Hello, "world" (test): is it? No! Yes; well.')
    assert "".join(c for c in said if c in ',"():?!;.') == ',""():?!;.'
    assert said.startswith('həlˈoʊ, "wˈɜːld" (')


def test_letters_said_one_by_one_are_no_sentences() -> None:
    assert phonemize("the U.S. army") == phonemize("the U S army")
    assert phonemize("at nine p.m.").endswith("ˈɛm.")


def test_a_voice_decides_and_an_unknown_one_is_refused() -> None:
    assert phonemize("water", "en-gb") != phonemize("water", "en-us")
    with pytest.raises(ConfigError, match="no voice"):
        phonemize("water", "xx-yy")


@pytest.mark.parametrize("text", ["", " ", "...", "\ud800", "\x00", "a\x00b", "日本", "-", "'"])
def test_any_text_is_taken(text: str) -> None:
    assert isinstance(phonemize(text), str)


@settings(max_examples=100, deadline=None)
@given(st.text(ALPHABET, max_size=60))
def test_what_espeak_says_of_normalised_text_has_an_id(text: str) -> None:
    vocabulary = Vocabulary.phonemes()
    assert vocabulary.unknown(text) == {}
    assert vocabulary.decode(vocabulary.encode(text)) == "".join(vocabulary.units(text))


@pytest.mark.parametrize("voice", ["en-us", "en-gb", "de", "fr-fr", "es", "it", "nl", "sv"])
def test_symbols_cover_european_voices(voice: str) -> None:
    text = "the quick brown fox jumps over the lazy dog, genre, Zürich, garçon, señor, hjärta"
    assert Vocabulary.phonemes(voice=voice).unknown(text) == {}


@pytest.mark.parametrize(
    ("voice", "text"),
    [
        ("de", "Der Computer, im Update (Software)"),
        ("fr-fr", "le weekend du manager"),
        ("ru", "это Windows"),
        ("el", "computer"),
    ],
)
def test_a_switch_of_language_leaves_no_mark(voice: str, text: str) -> None:
    said = phonemize(text, voice)
    assert said.count("(") == text.count("(")
    assert not {"en", voice[:2]} & set(said.replace("(", " ").replace(")", " ").split())
    if voice == "de":
        assert "ˈʌpdeɪt (" in said


def test_figures_with_a_mark_inside_are_one_number() -> None:
    assert phonemize("3,5, ja", "de") == "dɾˈaɪ kɔmɑː fˈʏnf, jˈɑː"
    assert phonemize("9.", "de").endswith(".")
