"""Texts of other languages in the symbols of a vocabulary: no word changed, nothing folded."""

import string
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechseq.errors import DataError
from speechseq.text.vocabulary import Vocabulary

LATIN = string.ascii_lowercase + " ,.!?'\"-"
GERMAN = Vocabulary.characters(LATIN + "äöüß")
TURKISH = Vocabulary.characters("abcçdefgğhıijklmnoöprsştuüvyz .'")
GREEK = Vocabulary.characters("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώ .")
RUSSIAN = Vocabulary.characters("абвгдеёжзийклмнопрстуфхцчшщъыьэюя .,-«»")
HANGUL = Vocabulary.characters("안녕하세요 .")
JAMO = Vocabulary.characters(sorted(set(unicodedata.normalize("NFD", "안녕하세요 ."))))
MARKS = Vocabulary.characters("aou\u0308 .")
JAPANESE = Vocabulary.characters("アガテレビ。、 x")
HEBREW = Vocabulary.characters("שלום ")
CASED = Vocabulary.characters("abcABCüÜ ")


def read(vocabulary: Vocabulary, text: str) -> str:
    return vocabulary.decode(vocabulary.encode(vocabulary.normalize(text)))


@pytest.mark.parametrize(
    ("vocabulary", "written", "right"),
    [
        (GERMAN, "Über die Brücke, schöne Grüße.", "über die brücke, schöne grüße."),
        (GERMAN, unicodedata.normalize("NFD", "Über"), "über"),
        (GERMAN, "GROẞ und groß", "groß und groß"),
        (GERMAN, "„Ja“, sagt’s – und geht…", '"ja", sagt\'s - und geht...'),
        (GERMAN, "Ｗｉｄｅ\u3000\tﬁnden\n", "wide finden"),
        (GERMAN, "wei\u00adter\u200b\ufeff", "weiter"),
        (GERMAN, "Dr. Abb. z.B.", "dr. abb. z.b."),
        (TURKISH, "Işık ve İstanbul", "ışık ve istanbul"),
        (GREEK, "ΣΟΦΟΣ ΟΔΟΣ.", "σοφος οδος."),
        (RUSSIAN, "“Йод” — Ёж", "«йод« - ёж"),
        (HANGUL, "안녕하세요.", "안녕하세요."),
        (HANGUL, unicodedata.normalize("NFD", "안녕하세요."), "안녕하세요."),
        (JAMO, "안녕", unicodedata.normalize("NFD", "안녕")),
        (MARKS, "Aü öU", "au\u0308 o\u0308u"),
        (JAPANESE, "ｶﾞﾃﾚﾋﾞ".replace("ｶﾞ", "ｱ"), "アテレビ"),
        (JAPANESE, "ガ｡､ｘ", "ガ。、x"),
        (HEBREW, "\u200fשלום", "שלום"),
        (CASED, "aAü Ü", "aAü Ü"),
    ],
)
def test_a_text_keeps_its_words(vocabulary: Vocabulary, written: str, right: str) -> None:
    assert read(vocabulary, written) == right


def test_a_sigma_that_the_vocabulary_lacks_at_the_end_is_a_sigma() -> None:
    without = Vocabulary.characters("αβγδεζηθικλμνξοπρστυφχψω ")
    assert read(without, "ΣΟΦΟΣ σοφος") == "σοφοσ σοφοσ"


@pytest.mark.parametrize(
    ("vocabulary", "written", "named"),
    [
        (GERMAN, "im Jahr 1990", r"'1' .* × 1, '9' .* × 2, '0'"),
        (GERMAN, "5 €", "'€'"),
        (GERMAN, "café", "'é'"),
        (GERMAN, "m²", "'²'"),
        (RUSSIAN, "OK", "'O'"),
        (RUSSIAN, "приве\u0301т", r"U\+0301"),
        (GERMAN, "İ", "'İ'"),
        (Vocabulary.characters("grüse "), "größe", "'ö'.*'ß'"),
    ],
)
def test_what_no_symbol_can_write_is_refused_by_name(
    vocabulary: Vocabulary, written: str, named: str
) -> None:
    with pytest.raises(DataError, match=named):
        read(vocabulary, written)


VOCABULARIES = (GERMAN, TURKISH, GREEK, RUSSIAN, HANGUL, JAMO, MARKS, JAPANESE, HEBREW, CASED)
PIECES = ["\u0301", "\u0308", "ｶ", "ﾞ", "…", "—", "“", "ﬁ", "\u212b", "İ", "I", "\u200d", "\ud800"]
texts = st.one_of(
    st.text(max_size=30),
    st.lists(st.sampled_from(PIECES + list("aäΣ안 .\t한ㅎ")), max_size=12).map("".join),
)


@settings(max_examples=300, deadline=None)
@given(vocabulary=st.sampled_from(VOCABULARIES), text=texts)
def test_reading_is_total_idempotent_and_alike_in_every_form(
    vocabulary: Vocabulary, text: str
) -> None:
    once = vocabulary.normalize(text)
    assert vocabulary.normalize(once) == once
    for form in ("NFC", "NFD"):
        assert vocabulary.normalize(unicodedata.normalize(form, text)) == once
    known = [c for c in text if c in "".join(vocabulary.symbols) and not c.isspace()]
    if "".join(known) == text and unicodedata.is_normalized("NFC", text):
        assert once == text  # what the vocabulary writes is never rewritten


def test_a_mark_behind_a_ligature_joins_its_last_letter() -> None:
    assert GERMAN.normalize("ﬁ\u0300") == GERMAN.normalize("fi\u0300") == "fì"


def test_a_symbol_that_composing_would_replace_stays_reachable() -> None:
    vocabulary = Vocabulary.characters("\u212b ｱü")
    assert read(vocabulary, "\u00c5\u212b アｱ") == "\u212b\u212b ｱｱ"
