"""Text normalisers by name, applied before a vocabulary encodes a text."""

import re
import unicodedata
from collections.abc import Callable, Iterable

from speechseq.errors import ConfigError
from speechseq.text.normalize import normalize
from speechseq.text.unicode_text import UnicodeText

NAMES = ("english", "unicode", "none")
_ENGLISH_VOICE = re.compile(r"(?i)(?:\w+/)?en(?:glish)?(?![a-z])")


def suited(symbols: Iterable[str], voice: str) -> str:
    """Return the name of the default normaliser for a vocabulary with these symbols and voice.

    The name is "english" for English espeak voices and for symbols whose letters are all ASCII,
    because the English normaliser writes only ASCII; otherwise "unicode". `voice` is "" for a
    vocabulary without phonemes.
    """
    if voice:
        return "english" if _ENGLISH_VOICE.match(voice) else "unicode"
    foreign = (c for symbol in symbols for c in symbol if not c.isascii())
    return "unicode" if any(unicodedata.category(c)[0] in "LM" for c in foreign) else "english"


def checked(name: str) -> str:
    """Check the name of a normaliser, and return it.

    Raises:
        ConfigError: no normaliser has this name.
    """
    if name not in NAMES:
        raise ConfigError(f"vocabulary: normalizer {name!r} is none of {', '.join(NAMES)}")
    return name


def normalizer(name: str, known: frozenset[str], *, fold: bool, voice: str) -> Callable[[str], str]:
    """Return a normaliser, a function that maps a text to what the vocabulary encodes.

    Args:
        name: one of `NAMES`.
        known: the characters of the vocabulary's symbols, which "unicode" keeps.
        fold: True if the vocabulary folds case.
        voice: espeak voice by which the vocabulary converts the normalised text to phonemes; ""
            for a vocabulary of characters. Only "unicode" depends on `fold` and `voice`.
    """
    if name == "english":
        return normalize
    return UnicodeText(known, fold=fold, spoken=bool(voice)) if name == "unicode" else str
