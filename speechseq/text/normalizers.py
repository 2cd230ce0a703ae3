"""Normalisers by name: the reading of a text before a vocabulary encodes it."""

import re
import unicodedata
from collections.abc import Callable, Iterable

from speechseq.errors import ConfigError
from speechseq.text.normalize import normalize
from speechseq.text.unicode_text import UnicodeText

NAMES = ("english", "unicode", "none")
_ENGLISH_VOICE = re.compile(r"(?i)(?:\w+/)?en(?:glish)?(?![a-z])")


def suited(symbols: Iterable[str], voice: str) -> str:
    """The name of the normaliser for a vocabulary that does not name one.

    "english" for an English voice of espeak and for symbols whose letters are all ASCII, as the
    English normaliser writes nothing else; "unicode" for all others.
    """
    if voice:
        return "english" if _ENGLISH_VOICE.match(voice) else "unicode"
    foreign = (c for symbol in symbols for c in symbol if not c.isascii())
    return "unicode" if any(unicodedata.category(c)[0] in "LM" for c in foreign) else "english"


def checked(name: str) -> str:
    """A name, if it is one of a normaliser.

    Raises:
        ConfigError: it is not.
    """
    if name not in NAMES:
        raise ConfigError(f"vocabulary: normalizer {name!r} is none of {', '.join(NAMES)}")
    return name


def normalizer(name: str, known: frozenset[str], *, fold: bool, voice: str) -> Callable[[str], str]:
    """The normaliser of that name.

    Args:
        known: the characters of the vocabulary's symbols.
        fold: the vocabulary folds case.
        voice: the espeak voice that reads the text; "" for none.
    """
    if name == "english":
        return normalize
    return UnicodeText(known, fold=fold, spoken=bool(voice)) if name == "unicode" else str
