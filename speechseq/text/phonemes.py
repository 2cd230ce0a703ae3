"""Phonemes (IPA) of texts, by espeak-ng, with punctuation kept."""

import ctypes
import re

from speechseq.text.alphabet import PUNCTUATION
from speechseq.text.espeak_library import LOCK, library, set_voice
from speechseq.text.rules.sentences import ends_sentence

# Phonemes of espeak's English voices, and further vowels and consonants of the European ones.
_VOWELS = "aeiouyæøœɐɑɒɔəɚɛɜɝɞɨɪɯɵɶʉʊʌʏᵻ"
_CONSONANTS = "bcdfghjklmnpqrstvwxzçðħŋɕɖɟɡɢɣɥɦɬɭɱɲɳɴɸɹɻɽɾʀʁʂʃʈʋʎʐʑʒʔʝβθχ"
_MARKS = "ˈˌːˑʰʲʷˤˠ˞\u0303\u0329\u032a\u0361"
SYMBOLS = _VOWELS + _CONSONANTS + _MARKS + " " + PUNCTUATION

_STOPS = f"[{re.escape(PUNCTUATION.replace(chr(39), '').replace('-', ''))}]"
_PIECES = re.compile(rf"((?:(?<!\d){_STOPS}|{_STOPS}(?!\d))+)")  # espeak reads 3,5 and 9:30 itself
_SWITCH = re.compile(r"\([^()]*\)")  # "(en)" marks a switch to another language
_LETTERS = re.compile(r"(?<![A-Za-z.])(?:[A-Za-z]\.){2,}")
_UTF8, _IPA = 1, 2


def phonemize(text: str, voice: str = "en-us") -> str:
    """Convert a text to phonemes (IPA) by espeak; punctuation and stress marks are kept.

    espeak drops punctuation, so the text is split at punctuation, and each part between is
    converted on its own. The marks that espeak writes around words of another language are removed.

    Args:
        text: text in the language of the voice.
        voice: name of an espeak voice, such as "en-us".

    Raises:
        ConfigError: there is no such voice.
        MachineError: espeak is missing (extra `espeak`).
    """
    text = _LETTERS.sub(_without_stops, text)
    with LOCK:
        set_voice(voice)
        return "".join(_spoken(piece) for piece in _PIECES.split(text)).strip()


def _without_stops(match: re.Match[str]) -> str:
    """Remove the stops of an abbreviation such as "U.S.", but keep one that ends a sentence."""
    stop = "." if ends_sentence(match.string, match.end()) else ""
    return match[0].rstrip(".").replace(".", " ") + stop


def _spoken(piece: str) -> str:
    if not any(c.isalnum() for c in piece):
        return " " * piece[:1].isspace() + piece.strip() + " " * piece[1:][-1:].isspace()
    before, after = " " * piece[0].isspace(), " " * piece[-1].isspace()
    buffer = ctypes.create_string_buffer(piece.replace("\0", " ").encode("utf-8", "replace"))
    place = ctypes.c_void_p(ctypes.addressof(buffer))
    clauses = []
    while place.value:
        said = library().espeak_TextToPhonemes(ctypes.byref(place), _UTF8, _IPA).decode()
        clauses.append(_SWITCH.sub("", said))
    return before + " ".join(filter(None, clauses)).strip() + after
