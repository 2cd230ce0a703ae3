"""En dashes: a hyphen in ranges ("10am–noon", "£1m–£2m"), a pause between words."""

import re

_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_BETWEEN_WORDS = re.compile(r"(?<=[^\s\d]) ?– ?(?=\D)|(?<=\s)–(?=\s)")
_NUMBER_BEFORE = re.compile(r"(?:\d ?[A-Za-z.°%]{1,5}|noon|midnight)$")
_NUMBER_AFTER = re.compile(r"[A-Z]{0,3} ?[$£€¥₹₩₽]?\d|noon|midnight")
_DAY_BEFORE, _DAY_AFTER = re.compile(rf"\b{_DAY}\.?$"), re.compile(rf"{_DAY}\b")
_NEAR = 12  # characters of context before the dash


def read_dashes(text: str) -> str:
    """Replace each en dash by a hyphen in a range ("10am–noon"), and by " -- " elsewhere.

    " -- " is read as a pause. A range is one of times, amounts, days or months. A dash between a
    digit and its neighbour, as in "5–10", stays, because the rules of numbers read it.
    """
    return _BETWEEN_WORDS.sub(_dash, text) if "–" in text else text


def _dash(match: re.Match[str]) -> str:
    before = match.string[max(0, match.start() - _NEAR) : match.start()]
    end = match.end()
    numbers = _NUMBER_BEFORE.search(before) and _NUMBER_AFTER.match(match.string, end)
    days = _DAY_BEFORE.search(before) and _DAY_AFTER.match(match.string, end)
    return "-" if numbers or days else " -- "
