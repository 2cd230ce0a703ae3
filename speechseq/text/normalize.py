"""Written English to speakable words, in one fixed alphabet."""

import re

import anyascii

from speechseq.text.alphabet import ALPHABET

_OUTSIDE = re.compile(f"[^{re.escape(ALPHABET)}]")


def normalize(text: str) -> str:
    """Written English as a reader would say it, in the characters of `alphabet.ALPHABET` only.

    Total (any string gives a string), idempotent, and the same for composed and decomposed accents.
    """
    return re.sub(" +", " ", _OUTSIDE.sub(" ", anyascii.anyascii(text))).strip()
