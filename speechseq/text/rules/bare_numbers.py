"""Numbers without a sign or unit, read as years, addresses, pages, boxes or plain counts."""

import re

from speechseq.text.rules.numbers import digits, number, pairs, year

_BOX = re.compile(r"(?i)\b(?:box|zip|zip code|serial|pin|code|serial number) $")
_ZIP = re.compile(r"(?:, |\b)[A-Z]{2} $")
_PLACE = re.compile(
    r"(?i)\b(?:page|pages|number|exhibit|room|flight|route|highway|interstate|suite|apartment) $"
)
_STREET = re.compile(
    r" (?:(?:North|South|East|West|[NSEW]\.) )?(?:[A-Z][a-z]+ |\d+(?:st|nd|rd|th) ){1,3}"
    r"(?:Street|Avenue|Road|Lane|Drive|Boulevard|Court|Place|Way|Square|Terrace)(?![a-z])"
)
_DIRECTION = re.compile(r" (?:North|South|East|West) [A-Z]")
_ERA = re.compile(r",? (?:B\.? ?C|A\.? ?D|BCE|CE)(?![A-Za-z])")
_DATING = re.compile(r"(?i)\b(?:in|year|since|until|till|by|before|after|circa|early|late) $")
_AFTER_YEAR = re.compile(r"[,.;:)?!]|$| (?:he|she|they|it|when|the|and)(?![a-z])| [A-Z]")
_COUNTED = re.compile(
    r" (?!(?:was|is|has|his|its|this|as|us|perhaps|always|sometimes|unless|thus)(?![a-z]))"
    r"(?:[a-z]{2,}[a-z]s|people|men|women|children|feet|million|billion|percent)(?![a-z])"
)
_DATED = re.compile(
    r"(?i)(?:\b(?:in|since|until|till|by|from|of|the|early|late|mid|about|circa|spring|summer|autumn|"
    r"fall|winter|january|february|march|april|may|june|july|august|september|october|november|"
    r"december)|\d,|(?:first|second|third|th|ty|teen|[a-z]-[a-z]+|one|two|three|four|five|six|seven|"
    r"eight|nine|ten|eleven|twelve),) $"
)


def bare(text: str, before: str, after: str) -> str:
    """Convert a number without sign or unit to words, chosen by the text around it.

    It is read as a year, an address, a page, a box or a plain count.

    Args:
        text: digits, perhaps with commas and decimals.
        before: up to about 40 characters before the number.
        after: up to about 40 characters after it.
    """
    if not text.isdecimal():
        return number(text)
    if _BOX.search(before) or (len(text) == 5 and _ZIP.search(before)):
        return digits(text)
    if text[0] != "0":
        if len(text) == 3:
            return _three(text, before, after)
        if len(text) == 4:
            return _four(text, before, after)
    return number(text)


def _three(text: str, before: str, after: str) -> str:
    if text[1:] == "00":
        return number(text)
    if _STREET.match(after):
        return digits(text)
    dated = _DATING.search(before) and _AFTER_YEAR.match(after)
    if _PLACE.search(before) or _ERA.match(after) or dated:
        return pairs(text)
    return number(text)


def _four(text: str, before: str, after: str) -> str:
    placed = _PLACE.search(before) or _STREET.match(after) or _DIRECTION.match(after)
    if placed and text[1:] != "000":
        return pairs(text)
    counted = _COUNTED.match(after) and not _DATED.search(before)
    if text < "2100" and not counted:
        return year(text)
    return number(text)
