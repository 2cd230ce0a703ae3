"""Normalisation of written English to speakable words in a fixed alphabet."""

import re

from speechseq.text.rules.abbreviations import read_abbreviations
from speechseq.text.rules.acronyms import read_acronyms
from speechseq.text.rules.addresses import read_addresses
from speechseq.text.rules.characters import to_ascii
from speechseq.text.rules.clock import read_times
from speechseq.text.rules.dates import read_dates, read_spans
from speechseq.text.rules.measures import read_measures
from speechseq.text.rules.money import read_money
from speechseq.text.rules.numerals import read_numerals
from speechseq.text.rules.phones import read_phones
from speechseq.text.rules.roman import read_romans
from speechseq.text.rules.scripture import read_verses
from speechseq.text.rules.signed import read_signed
from speechseq.text.rules.signs import read_signs

_MOST_READINGS = 8
_DIGIT = re.compile(r"\d")


def normalize(text: str) -> str:
    """Normalise written English to its spoken form, in the characters of `alphabet.ALPHABET`.

    It accepts any string, is idempotent, and treats composed and decomposed accents alike. Case is
    kept. Letters spoken one by one get full stops ("F.B.I.", "p.m."), as in LJSpeech's published
    text; numbers, dates and money follow its conventions too.

    Examples:
        >>> normalize("Dr. Smith paid $3.50 at 9:05.")
        'Doctor Smith paid three dollars, fifty cents at nine oh five.'
    """
    for _ in range(_MOST_READINGS):
        read = _read(text)
        if read == text:
            break
        text = read
    return text


def _read(text: str) -> str:
    """One pass of all rules; `normalize` repeats passes until the text no longer changes."""
    text = read_spans(read_addresses(to_ascii(text)))
    if _DIGIT.search(text):
        for read in (
            read_phones,
            read_dates,
            read_verses,
            read_times,
            read_signed,
            read_money,
            read_measures,
        ):
            text = read(text)
    text = read_romans(read_abbreviations(text))
    if _DIGIT.search(text):
        text = read_numerals(text)
    return read_signs(read_acronyms(text))
