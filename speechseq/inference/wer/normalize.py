"""Normalisation of English transcripts before scoring."""

import re

from speechseq.text.normalize import normalize


def spoken_words(text: str) -> str:
    """Convert an English text to its spoken words: numbers and abbreviations as words.

    They are in lower case, without punctuation and separated by single spaces.
    """
    return " ".join(re.findall(r"[a-z]+(?:'[a-z]+)*", normalize(text).lower()))
