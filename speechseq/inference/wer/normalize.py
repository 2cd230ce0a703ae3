"""Normalisation of English transcripts before scoring."""

import re

from speechseq.text.normalize import normalize


def spoken_words(text: str) -> str:
    """The words of a text as they are spoken: normalised, lower case, no punctuation."""
    return " ".join(re.findall(r"[a-z]+(?:'[a-z]+)*", normalize(text).lower()))
