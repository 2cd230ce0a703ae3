"""E-mail and web addresses, spoken with "at", "dot" and "slash"."""

import re

from speechseq.text.rules.numbers import cardinal, digits

_LABEL = r"[A-Za-z0-9-]{1,63}"
_EMAIL = re.compile(
    rf"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{{1,64}}+@{_LABEL}(?:\.{_LABEL}){{1,8}}(?![A-Za-z0-9])"
)
_URL = re.compile(r"(?i)(?<![a-z0-9])(?:(?:https?|ftp)://|www\.)[a-z0-9][^\s\"'()<>,]{1,2000}")
_DOMAIN = re.compile(
    rf"(?<![\w@.-])(?:{_LABEL}\.){{1,5}}(?:com|org|net|edu|gov|info|co\.uk|ac\.uk|org\.uk)"
    r"(?![\w-])(?!\.\w)(?:/[\w./?=&#%~+-]{0,2000})?"
)
_SIGNS = {
    ".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", ":": "colon",
    "?": "question mark", "=": "equals", "&": "and", "#": "hash", "%": "percent", "+": "plus",
    "~": "tilde",
}  # fmt: skip


def read_addresses(text: str) -> str:
    """Spell out every e-mail and web address: "a@b.com" becomes "a at b dot com"."""
    if "@" in text:
        text = _EMAIL.sub(_spoken, text)
    if "." in text:
        text = _DOMAIN.sub(_spoken, _URL.sub(_spoken, text))
    return text


def _spoken(match: re.Match[str]) -> str:
    address = match[0].rstrip(".:?!;-&")
    tail = match[0][len(address) :]
    return " ".join(map(_piece, re.findall(r"[A-Za-z]+|\d+|.", address))) + tail


def _piece(piece: str) -> str:
    if piece.isdecimal():
        return cardinal(piece) if len(piece) <= 2 and piece[0] != "0" else digits(piece)
    if piece.isalpha() and not re.search("[aeiouyAEIOUY]", piece):
        return piece if len(piece) > 5 or piece == "com" else " ".join(piece)
    if piece.lower() in ("uk", "io", "ac", "https", "edu"):
        return " ".join(piece)
    return _SIGNS.get(piece, piece)
