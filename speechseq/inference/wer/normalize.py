"""Normalisation of English transcripts before scoring."""

import re

from speechseq.text.normalize import normalize


def spoken_words(text: str) -> str:
    """Normalise an English text to its spoken words, in lower case and without punctuation."""
    return " ".join(re.findall(r"[a-z]+(?:'[a-z]+)*", normalize(text).lower()))
