"""Times of the day, and ratios, which are written alike."""

import re

from speechseq.text.numbers import below_hundred, cardinal

_HALF = r"(?: ?([AaPp])(?:\. ?[Mm]\.|[Mm](?![A-Za-z0-9])\.?))"
_TIME = re.compile(rf"(?<![\w:.,])(\d{{1,2}}):(\d\d)(?::(\d\d))?(?![\d:]){_HALF}?")
_UNTIL = re.compile(r"(?<=:\d\d) ?- ?(?=\d{1,2}:\d\d(?!\d))")
_POINT = re.compile(r"(?<![\w:.,])(\d{1,2})\.(\d\d)(?= ?[AaPp]\.? ?[Mm](?![A-Za-z]))")  # 9.30 pm
_HOUR = re.compile(rf"(?<![\w:.,])(\d{{1,2}}){_HALF}")
_RATIO = re.compile(r"(?<![\d:.,])(\d{1,6}):(\d{1,6})(?![\d:])")


def read_times(text: str) -> str:
    """9:05 p.m. is "nine oh five p.m.", 14:30 "fourteen thirty", 16:9 "sixteen to nine"."""
    text = _POINT.sub(r"\1:\2", text)
    if ":" in text:
        text = _UNTIL.sub(" to ", text)
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
