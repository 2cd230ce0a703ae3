"""Dates, decades and shortened years."""

import re

from speechseq.text.numbers import START, below_hundred, cardinal, ordinal, pairs, plural, year

_MONTH = "January|February|March|April|May|June|July|August|September|October|November|December"
MONTHS = _MONTH.split("|")
_SHORT = {month[:3]: month for month in MONTHS} | {"Sept": "September"}
_SHORT_MONTH = "|".join(sorted(_SHORT, key=len, reverse=True))

_ISO = re.compile(rf"{START}(\d{{4}})-(\d\d)-(\d\d)(?![\d-])")
_SLASHED = re.compile(r"(?<![\w/.,-])(\d{1,2})/(\d{1,2})/(\d{4}|\d\d)(?![\w/])")
_DOTTED = re.compile(r"(?<![\w/.,-])(\d{1,2})\.(\d{1,2})\.(\d{4})(?![\w/])")
_SHORT_BEFORE = re.compile(rf"(?<![A-Za-z])({_SHORT_MONTH})\.? (?=\d)")
_SHORT_AFTER = re.compile(
    rf"(?<=\d) ({_SHORT_MONTH})(?:\.(?= ?[\d,])|(?= \d))"
    rf"|(?<=\d[dhtDHT]) ({_SHORT_MONTH})(?:\.(?= ?[\d,])|(?= \d))"
)
_DASHED = re.compile(rf"(?<![\w.,-])(\d{{1,2}})-({_MONTH}|{_SHORT_MONTH})-(\d{{4}})(?!\w)")
_DAY_MONTH = re.compile(rf"(?<![\w.,:$£€-])(?:(the) )?(\d{{1,2}}) (?=(?:{_MONTH})(?![a-z]))")
_DECADE = re.compile(rf"{START}(\d{{3}}0)'?s(?![A-Za-z0-9])")
_SHORT_DECADE = re.compile(r"(?<![\w.,])'?([2-9]0)'?s(?![A-Za-z0-9])")
_SHORT_YEAR = re.compile(r"(?<!\w)'(\d\d)(?![\w']|[.,]\d)")


def read_dates(text: str) -> str:
    """Dates in figures to words; "May 4, 1999" is left, but for its month, to the numerals."""
    text = _ISO.sub(lambda m: _date(m, m[1], m[2], m[3]), text)
    text = _DOTTED.sub(lambda m: _date(m, m[3], m[2], m[1]), text)
    text = _DASHED.sub(r"\1 \2 \3", text)
    text = _SLASHED.sub(lambda m: _date(m, m[3], m[1], m[2]), text)
    text = _SHORT_BEFORE.sub(lambda m: f"{_SHORT[m[1]]} ", text)
    text = _SHORT_AFTER.sub(lambda m: f" {_SHORT[m[1] or m[2]]}", text)
    text = _DAY_MONTH.sub(_day_of, text)
    text = _DECADE.sub(lambda m: plural(_decade(m[1])), text)
    text = _SHORT_DECADE.sub(lambda m: plural(below_hundred(int(m[1]))), text)
    return _SHORT_YEAR.sub(lambda m: "'" + _two_digits(m[1]), text)


def _date(match: re.Match[str], years: str, month: str, day: str) -> str:
    """A date whose parts may be swapped (day before month), or the text as it was."""
    if int(month) > 12 >= int(day):
        month, day = day, month
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return match[0]
    spoken = _two_digits(years) if len(years) == 2 else year(years)
    return f"{MONTHS[int(month) - 1]} {ordinal(day)}, {spoken}"


def _day_of(match: re.Match[str]) -> str:
    if not 1 <= int(match[2]) <= 31:
        return match[0]
    return f"the {ordinal(match[2])} of "


def _decade(text: str) -> str:
    return cardinal(text) if text[1:] == "000" else pairs(text) if text[0] != "0" else text


def _two_digits(text: str) -> str:
    return ("oh " if text[0] == "0" else "") + below_hundred(int(text))
