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
    """Return the name of the default text normaliser for a vocabulary, "english" or "unicode".

    It is "english" for English espeak voices, and without a voice if all letters of the symbols are
    ASCII, because the English normaliser writes only ASCII; otherwise "unicode".

    Args:
        symbols: symbols of the vocabulary.
        voice: its espeak voice; "" for a vocabulary without phonemes.
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
    """Return a text normaliser: a function that maps a text to the text that is then encoded.

    Args:
        name: "english" (`normalize`), "unicode" (`UnicodeText`) or "none" (texts stay as they are).
        known: the characters of the vocabulary's symbols, which "unicode" keeps.
        fold: True if the vocabulary folds case.
        voice: espeak voice by which the vocabulary converts the normalised text to phonemes; "" for
            a vocabulary of characters. Only "unicode" depends on `known`, `fold` and `voice`.
    """
    if name == "english":
        return normalize
    return UnicodeText(known, fold=fold, spoken=bool(voice)) if name == "unicode" else str
