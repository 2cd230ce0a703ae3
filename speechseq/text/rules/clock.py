"""Times of day, and ratios, which have the same form."""

import re

from speechseq.text.rules.numbers import below_hundred, cardinal

_HALF = r"(?: ?([AaPp])(?:\. ?[Mm]\.|[Mm](?![A-Za-z0-9])\.?))"
_TIME = re.compile(rf"(?<![\w:.,])(\d{{1,2}}):(\d\d)(?::(\d\d))?(?![\d:]){_HALF}?")
_UNTIL = re.compile(r"(?<=:\d\d) ?- ?(?=\d{1,2}:\d\d(?!\d))")
_DAYTIME = r"(?:\d{1,2}(?::\d\d)?|noon|midnight)"
_HOURS = re.compile(
    rf"(?<![\w:.,$£€-])({_DAYTIME}(?: ?[AaPp]\.?[Mm](?:\.|(?![A-Za-z])))?) ?- ?"
    rf"(?={_DAYTIME}(?: ?[AaPp]\.? ?[Mm](?![A-Za-z])))"
    rf"|(?<![\w:.,$£€-])(noon|midnight|\d{{1,2}}(?::\d\d)? ?[AaPp]\.?[Mm](?:\.|(?![A-Za-z]))) ?- ?"
    rf"(?={_DAYTIME}(?![\w-]))"
    rf"|(?<![\w:.,$£€-])(\d{{1,2}}(?::\d\d)?) ?- ?(?=(?:noon|midnight)(?![a-z]))"
)
_SUFFIX = re.compile(r"(?<=\d:\d\d) ?h(rs)?(?![A-Za-z])")
_FRENCH = re.compile(r"(?<![\w.,])([01]?\d|2[0-3])h([0-5]\d)(?!\w)")
_FIGURE_H = re.compile(r"\dh\d")
_HUNDRED_HOURS = re.compile(r"(?<![\w.,:])0([1-9])00(?= (?:hours|hrs)(?![a-z]))")
_POINT = re.compile(r"(?<![\w:.,])(\d{1,2})\.(\d\d)(?= ?[AaPp]\.? ?[Mm](?![A-Za-z]))")  # 9.30 pm
_HOUR = re.compile(rf"(?<![\w:.,])(\d{{1,2}}){_HALF}")
_RATIO = re.compile(r"(?<![\d:.,])(\d{1,6}):(\d{1,6})(?![\d:])")


def read_times(text: str) -> str:
    """Read times and ratios: 9:05 p.m. is "nine oh five p.m.", 16:9 is "sixteen to nine"."""
    text = _POINT.sub(r"\1:\2", text)
    if _FIGURE_H.search(text):
        text = _FRENCH.sub(r"\1:\2", text)
    if "00 h" in text:
        text = _HUNDRED_HOURS.sub(lambda m: f"oh {cardinal(m[1])} hundred", text)
    if "-" in text:
        text = _HOURS.sub(lambda m: f"{m[1] or m[2] or m[3]} to ", text)
    if ":" in text:
        text = _UNTIL.sub(" to ", _SUFFIX.sub(lambda m: " hours" if m[1] else "", text))
        text = _RATIO.sub(r"\1 to \2", _TIME.sub(_time, text))
    return _HOUR.sub(_hour, text)


def _time(match: re.Match[str]) -> str:
    hour, minute, second, half = match.groups()
    if int(hour) > 24 or int(minute) > 59 or int(second or 0) > 59:
        return match[0]
    if match[0] == "00:00":
        return "midnight"
    spoken = f"{below_hundred(int(hour))}{_minutes(int(hour), int(minute), bool(half))}"
    if second:
        spoken += f" and {below_hundred(int(second))} second" + "s" * (int(second) != 1)
    return spoken + _half(half)


def _minutes(hour: int, minute: int, half: bool) -> str:
    if minute:
        return " oh" * (minute < 10) + f" {below_hundred(minute)}"
    if half:
        return ""
    return " o'clock" if 1 <= hour <= 12 else " hundred"


def _hour(match: re.Match[str]) -> str:
    if not 1 <= int(match[1]) <= 12:
        return match[0]
    return cardinal(match[1]) + _half(match[2])


def _half(letter: str | None) -> str:
    return f" {letter.lower()}.m." if letter else ""
