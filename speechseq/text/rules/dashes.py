"""En dashes: a hyphen in ranges ("10am–noon", "£1m–£2m"), a pause between words."""

import re

_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_BETWEEN_WORDS = re.compile(r"(?<=[^\s\d]) ?– ?(?=\D)|(?<=\s)–(?=\s)")
_NUMBER_BEFORE = re.compile(r"(?:\d ?[A-Za-z.°%]{1,5}|noon|midnight)$")
_NUMBER_AFTER = re.compile(r"[A-Z]{0,3} ?[$£€¥₹₩₽]?\d|noon|midnight")
_DAY_BEFORE, _DAY_AFTER = re.compile(rf"\b{_DAY}\.?$"), re.compile(rf"{_DAY}\b")
_NEAR = 12  # characters of context before the dash


def read_dashes(text: str) -> str:
    """Rewrite en dashes between words: a hyphen in a range, " -- " (read as a pause) elsewhere.

    A range is one of times, amounts, days or months, such as "10am–noon", "£1m–£2m" or "Mon–Fri". A
    dash next to a digit, as in "5–10" or "10am–11am", is not changed: rules that run later read it
    as part of the number.
    """
    return _BETWEEN_WORDS.sub(_dash, text) if "–" in text else text


def _dash(match: re.Match[str]) -> str:
    before = match.string[max(0, match.start() - _NEAR) : match.start()]
    end = match.end()
    numbers = _NUMBER_BEFORE.search(before) and _NUMBER_AFTER.match(match.string, end)
    days = _DAY_BEFORE.search(before) and _DAY_AFTER.match(match.string, end)
    return "-" if numbers or days else " -- "
