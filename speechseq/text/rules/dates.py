"""Dates, decades and abbreviated years."""

import re

from speechseq.text.rules.abbreviations import DAYS
from speechseq.text.rules.numbers import (
    START,
    below_hundred,
    cardinal,
    number,
    ordinal,
    pairs,
    plural,
    year,
)

_MONTH = "January|February|March|April|May|June|July|August|September|October|November|December"
MONTHS = _MONTH.split("|")
_SHORT = {month[:3]: month for month in MONTHS} | {"Sept": "September"}
_SHORT_MONTH = "|".join(sorted(_SHORT, key=len, reverse=True))

_ISO = re.compile(rf"{START}(\d{{4}})([-/])(\d\d)\2(\d\d)(?![\d/-])(?:T(?=\d\d:\d\d))?")
_NUMBERS = re.compile(r"(?<![\w/.,-])(\d{1,2})-(\d{1,2})-(\d{4})(?![\w/-])")
_SEASON = re.compile(rf"{START}(?<![/$£€])(\d\d(\d\d))/(\d\d)(?![\d/])")
_MONTHS = rf"({_MONTH}|{_SHORT_MONTH})"
_DAYS = rf"({'|'.join([*DAYS.values(), 'Tues', 'Thurs', *DAYS])})"
_SPAN = re.compile(
    rf"(?<![A-Za-z-])(?:{_MONTHS}\.?-{_MONTHS}|{_DAYS}\.?-{_DAYS})(?![A-Za-z])(?:\.(?= \d))?"
)
_JOINED = re.compile(r"[a-z]\.?-[A-Z]")
_ORDINALS = re.compile(r"(?<=\d(?:st|nd|rd|th))-(?=\d++(?:st|nd|rd|th))")
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
_PLURAL = re.compile(r"(?<![\w.,$£€])(?:(\d00+)s(?= of )|(7[0-8]7)s(?!\w))")  # and Boeing models
_SHORT_DECADE = re.compile(r"(?<![\w.,])'?([2-9]0)'?s(?![A-Za-z0-9])")
_SHORT_YEAR = re.compile(r"(?<!\w)'(\d\d)(?![\w']|[.,]\d)")


def read_spans(text: str) -> str:
    """Expand ranges of days and months: "Mon-Fri" becomes "Monday to Friday"."""
    return _SPAN.sub(_span, text) if _JOINED.search(text) else text


def read_dates(text: str) -> str:
    """Convert dates, decades and short years to words: "1999-05-04", "the 1980s", "'99".

    Short names of months become whole words. `numerals.read_numerals` reads the day and year in
    "May 4, 1999" later.
    """
    text = _ISO.sub(lambda m: _date(m, m[1], m[3], m[4]) + ", " * m[0].endswith("T"), text)
    text = _NUMBERS.sub(lambda m: _date(m, m[3], m[1], m[2]), text)
    text = _ORDINALS.sub(" to ", _SEASON.sub(_season, text))
    text = _DOTTED.sub(lambda m: _date(m, m[3], m[2], m[1]), text)
    text = _DASHED.sub(r"\1 \2 \3", text)
    text = _SLASHED.sub(lambda m: _date(m, m[3], m[1], m[2]), text)
    text = _SHORT_BEFORE.sub(lambda m: f"{_SHORT[m[1]]} ", text)
    text = _SHORT_AFTER.sub(lambda m: f" {_SHORT[m[1] or m[2]]}", text)
    text = _DAY_MONTH.sub(_day_of, text)
    text = _PLURAL.sub(lambda m: plural(number(m[1] or m[2])), text)
    text = _DECADE.sub(lambda m: plural(_decade(m[1])), text)
    text = _SHORT_DECADE.sub(lambda m: plural(below_hundred(int(m[1]))), text)
    return _SHORT_YEAR.sub(lambda m: "'" + _two_digits(m[1]), text)


def _date(match: re.Match[str], years: str, month: str, day: str) -> str:
    """Words for a date, in either order of day and month, or the text unchanged if invalid."""
    if int(month) > 12 >= int(day):
        month, day = day, month
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return match[0]
    spoken = _two_digits(years) if len(years) == 2 else year(years)
    return f"{MONTHS[int(month) - 1]} {ordinal(day)}, {spoken}"


def _span(match: re.Match[str]) -> str:
    """Range of weekdays or months."""
    first, last = filter(None, match.groups())
    return f"{_full(first)} to {_full(last)}"


def _full(name: str) -> str:
    return _SHORT.get(name) or DAYS.get(name[:3], name) if len(name) < 6 else name


def _season(match: re.Match[str]) -> str:
    """Words for two consecutive years, "2020/21"."""
    follows = int(match[3]) == (int(match[2]) + 1) % 100
    return f"{match[1]} {_two_digits(match[3])}" if follows else match[0]


def _day_of(match: re.Match[str]) -> str:
    if not 1 <= int(match[2]) <= 31:
        return match[0]
    return f"the {ordinal(match[2])} of "


def _decade(text: str) -> str:
    return cardinal(text) if text[1:] == "000" else pairs(text) if text[0] != "0" else text


def _two_digits(text: str) -> str:
    return ("oh " if text[0] == "0" else "") + below_hundred(int(text))
