"""Signs that remain after numbers and addresses."""

import re

from speechseq.text.alphabet import ALPHABET

_PER = re.compile(
    r" ?/ ?(?=(?:second|minute|hour|day|night|week|month|quarter|year|person|head|mile|kilometer|"
    r"pound|kilogram|square|capita|unit|page|item)(?![a-z]))"
)
_UNITS = {
    "lb": "pound", "kg": "kilogram", "oz": "ounce", "hr": "hour", "h": "hour", "mo": "month",
    "yr": "year", "km": "kilometer", "mi": "mile",
}  # fmt: skip
_PER_UNIT = re.compile(rf"(?<=[a-z\d])/({'|'.join(_UNITS)})(?![A-Za-z/])")
_ORNAMENT = re.compile(r"([*=_~#^|<>+/\\@$&%])\1{2,}|\*\*")
_WORDS = {
    "&": "and", "@": "at", "%": "percent", "+": "plus", "=": "equals", "/": "slash",
    "\\": "backslash", "#": "hash", "<": "less than", ">": "greater than", "²": "squared",
    "³": "cubed", "°": "degree", "^": "to the power of", "$": "dollars", "£": "pounds",
    "€": "euros", "¥": "yen", "₹": "rupees", "₩": "won", "₽": "rubles", "¢": "cents",
}  # fmt: skip
_ARROW = re.compile(r"(?<!-)-++>|(?<!=)=++>|<-++(?!\d)")
_CELSIUS = re.compile(r"°([CF])(?![A-Za-z])")
_HASHTAG = re.compile(r"#(?=[A-Za-z])")
_SHARP = re.compile(r"(?<![A-Za-z])([A-G])#(?![A-Za-z])")
_SIGN = re.compile(r"[&@%+=/\\#<>²³°^$£€¥₹₩₽¢]")
_OUTSIDE = re.compile(f"[^{re.escape(ALPHABET)}]+")
_SPACES = re.compile("  +")
_LOOSE = re.compile(r" (?=[,;:!?.](?: |$))")


def read_signs(text: str) -> str:
    """Convert remaining signs to words ("&" is "and"), and remove characters outside `ALPHABET`."""
    if _OUTSIDE.search(text):
        text = _PER_UNIT.sub(lambda m: f" per {_UNITS[m[1]]}", _PER.sub(" per ", text))
        text = _ORNAMENT.sub(" ", text)
        if ">" in text or "<" in text:
            text = _ARROW.sub(lambda m: " from " if m[0][0] == "<" else " to ", text)
        text = _CELSIUS.sub(_degrees, text)
        text = _HASHTAG.sub(" hashtag ", _SHARP.sub(r"\1 sharp", text))
        text = _SIGN.sub(lambda m: f" {_WORDS[m[0]]} ", text)
        text = _OUTSIDE.sub(" ", text)
    return tidy(text)


def _degrees(match: re.Match[str]) -> str:
    return " degrees " + {"C": "Celsius", "F": "Fahrenheit"}[match[1]]


def tidy(text: str) -> str:
    """Collapse spaces in a text, and remove them at both ends and before closing marks."""
    return _LOOSE.sub("", _SPACES.sub(" ", text)).strip()
