"""Conversion of Unicode text to printable ASCII, before all other rules."""

import re
import unicodedata

import anyascii

from speechseq.text.rules.dashes import read_dashes

_LONGEST_MARKS = 30  # longer runs of marks are not text, and sorting them is quadratic

# Symbols with a word or form of their own; anyascii converts all others.
_FORMS = {
    "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "‚": "'", "`": "'",
    "…": "...", "—": " -- ", "―": " -- ", "‐": "-", "‑": "-", "‒": "-", "–": "-", "−": "-",
    "[": "(", "]": ")", "{": "(", "}": ")",
    "×": " times ", "÷": " divided by ", "±": " plus or minus ", "≈": " about ", "≠": " is not ",
    "≤": " at most ", "≥": " at least ", "∞": " infinity ", "√": " square root of ", "π": " pi ",
    "→": " to ", "←": " from ", "§": " section ", "¶": " paragraph ", "•": " ", "·": " ", "†": " ",
    "℃": "°C", "℉": "°F", "′": "'", "″": '"', "✓": " check ", "✔": " check ",
    "®": "", "™": "", "©": " copyright ", "№": "No. ", "‰": " per mille ", "µ": "u", "μ": "u",
    "°": "°", "º": "°", "ª": "a", "£": "£", "€": "€", "¥": "¥", "¢": "¢", "₹": "₹", "₩": "₩",
    "₽": "₽", "²": "²", "³": "³", "⁄": "/", "\u00ad": "", "\u200b": "", "\u200c": "",
    "\u200d": "", "\u2060": "", "\ufeff": "",
}  # fmt: skip
_KEPT = set("°£€¥¢₹₩₽²³")


_BETWEEN_FIGURES = re.compile(r"(?<=\d)×(?=\d+(?!\d| ?=))")
_INCHES = re.compile(r"(?<=\d)(?<!′\d)(?<!′\d\d)(?<!′ \d)(?<!′ \d\d)″")  # no angle or height
_OHM = re.compile(r"(?<=\d) ?([kKMmG]?)Ω(?![A-Za-zΑ-ω])")
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_RAISED_SIGN = re.compile("[⁰¹²³⁴-⁹⁺⁻]")
_POWER = re.compile(r"(?<=[A-Za-z\d)])(?:[⁺⁻][⁰¹²³⁴-⁹]{1,9}|[⁰¹²³⁴-⁹]{2,9}|[⁴-⁹])")


def _power(match: re.Match[str]) -> str:
    return "^" + match[0].translate(_RAISED)


def to_ascii(text: str) -> str:
    """Convert a Unicode text to printable ASCII; only the signs ° £ € ¥ ¢ ₹ ₩ ₽ ² ³ are kept too.

    The result is the same for all Unicode normal forms of the text.
    """
    if text.isascii():
        return _spaced(text.replace("`", "'").translate(_BRACKETS))
    text = _signs(read_dashes(composed(text)))
    text = _GREEK.sub(_named, text)
    cache: dict[str, str] = {}
    return _spaced("".join([cache.get(c) or cache.setdefault(c, _form(c)) for c in text]))


def _signs(text: str) -> str:
    """Replace signs whose form depends on the digits around them."""
    if "×" in text:
        text = _BETWEEN_FIGURES.sub("x", text)
    if "Ω" in text:
        text = _OHM.sub(r" \1ohm", text)
    if "″" in text:
        text = _INCHES.sub("in", text)
    if _RAISED_SIGN.search(text):
        text = _POWER.sub(_power, text)
    return text.replace("§§", " sections ")


_GREEK = re.compile("(?<![\u0370-\u03ff\u1f00-\u1fff])[Α-ω](?![A-Za-z\u0370-\u03ff\u1f00-\u1fff])")


def _named(match: re.Match[str]) -> str:
    """Name of a single Greek letter outside Greek words: "α" becomes "alpha"."""
    name = unicodedata.name(match[0], "").lower()
    letter = re.fullmatch(r"greek (?:small|capital) letter (?:final )?(\w+)", name)
    return f" {letter[1].replace('lamda', 'lambda')} " if letter else match[0]


_BRACKETS = str.maketrans("[]{}", "()()")
_CONTROL_OR_SPACE = re.compile(r"[\x00-\x20\x7f]+")


def _spaced(text: str) -> str:
    return _CONTROL_OR_SPACE.sub(" ", text).strip()


def composed(text: str) -> str:
    """Normalise a text to NFC, in which accents are composed with their letters where possible.

    Long runs of combining marks are shortened first. The result is the same for all Unicode normal
    forms of the text.
    """
    if text.isascii():
        return text
    kept: list[str] = []
    run = 0
    for piece in map(_decomposed, text):
        for character in piece:
            run = run + 1 if unicodedata.combining(character) else 0
            if run <= _LONGEST_MARKS:
                kept.append(character)
            elif run == _LONGEST_MARKS + 1:  # drop the run: its order depends on the form
                del kept[-_LONGEST_MARKS:]
    return unicodedata.normalize("NFC", "".join(kept))


def _decomposed(character: str) -> str:
    return character if character < "\u00c0" else unicodedata.normalize("NFD", character)


def _form(character: str) -> str:
    if character in _FORMS:
        return _FORMS[character]
    if character in " \t\n" or character.isascii():
        return "()"[character in "]}"] if character in "[]{}" else character
    if unicodedata.category(character) in ("Cc", "Cf", "Zs", "Zl", "Zp"):
        return " "
    compatible = unicodedata.normalize("NFKC", character)
    if "⁄" in compatible:  # a vulgar fraction: 3½ is 3 1/2
        return " " + compatible.replace("⁄", "/") + " "
    plain = anyascii.anyascii(character)
    if unicodedata.category(character)[0] == "S":  # pictures: ":red_heart:"
        return f" {plain.strip(':').replace('_', ' ')} "
    return plain
