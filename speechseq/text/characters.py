"""Any Unicode string to printable ASCII, before anything is read."""

import re
import unicodedata

import anyascii

_LONGEST_MARKS = 30  # more marks on one letter are no writing, and sorting them is quadratic

# Symbols that are worth a word or a form of their own; anyascii carries all the others.
_FORMS = {
    "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "‚": "'", "`": "'",
    "…": "...", "—": " -- ", "―": " -- ", "‐": "-", "‑": "-", "‒": "-", "–": "-", "−": "-",
    "[": "(", "]": ")", "{": "(", "}": ")",
    "×": " times ", "÷": " divided by ", "±": " plus or minus ", "≈": " about ", "≠": " is not ",
    "≤": " at most ", "≥": " at least ", "∞": " infinity ", "√": " square root of ", "π": " pi ",
    "→": " to ", "←": " from ", "§": " section ", "¶": " ", "•": " ", "·": " ", "†": " ",
    "®": "", "™": "", "©": " copyright ", "№": "No. ", "‰": " per mille ", "µ": "u", "μ": "u",
    "°": "°", "º": "°", "ª": "a", "£": "£", "€": "€", "¥": "¥", "¢": "¢", "₹": "₹", "₩": "₩",
    "₽": "₽", "²": "²", "³": "³", "⁄": "/", "\u00ad": "", "\u200b": "", "\u200c": "",
    "\u200d": "", "\u2060": "", "\ufeff": "",
}  # fmt: skip
_KEPT = set("°£€¥¢₹₩₽²³")
_DASH_BETWEEN_WORDS = re.compile(r"(?<=[^\s\d]) ?– ?(?=\D)|(?<=\s)–(?=\s)")


def to_ascii(text: str) -> str:
    """Printable ASCII and a few signs of money, degree and power; equal for NFC and NFD."""
    if text.isascii():
        return _spaced(text.replace("`", "'").translate(_BRACKETS))
    text = _DASH_BETWEEN_WORDS.sub(" -- ", composed(text))
    text = _GREEK.sub(_named, text)
    cache: dict[str, str] = {}
    return _spaced("".join([cache.get(c) or cache.setdefault(c, _form(c)) for c in text]))


_GREEK = re.compile("(?<![\u0370-\u03ff\u1f00-\u1fff])[Α-ω](?![A-Za-z\u0370-\u03ff\u1f00-\u1fff])")


def _named(match: re.Match[str]) -> str:
    """A Greek letter that is no part of a Greek word: "GREEK SMALL LETTER ALPHA" is alpha."""
    name = unicodedata.name(match[0], "").lower()
    letter = re.fullmatch(r"greek (?:small|capital) letter (?:final )?(\w+)", name)
    return f" {letter[1].replace('lamda', 'lambda')} " if letter else match[0]


_BRACKETS = str.maketrans("[]{}", "()()")
_CONTROL_OR_SPACE = re.compile(r"[\x00-\x20\x7f]+")


def _spaced(text: str) -> str:
    return _CONTROL_OR_SPACE.sub(" ", text).strip()


def composed(text: str) -> str:
    """NFC, after marks that are piled too high are taken off (alike in every normal form)."""
    if text.isascii():
        return text
    kept: list[str] = []
    run = 0
    for piece in map(_decomposed, text):
        for character in piece:
            run = run + 1 if unicodedata.combining(character) else 0
            if run <= _LONGEST_MARKS:
                kept.append(character)
            elif run == _LONGEST_MARKS + 1:  # all go: which ones came first depends on the form
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
