"""Numbers to words: cardinals, ordinals, years, decimals.

The library inflect takes 1.4 s to import and refuses numbers of more than 36 digits, so it is not
used; the tests compare the words of this module with inflect's.
"""

import functools
import re

# Digits with thousands commas and decimals. Possessive, so matching never backtracks.
AMOUNT = r"\d++(?:,\d{3}(?!\d))*+(?:\.\d++)?+"
# Lookbehind for the beginning of a number.
START = r"(?<![\d])(?<!\d[.,])"

_SIGNS = "$£€¥₹₩₽¢%°"
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_DECADES = "zero ten twenty thirty forty fifty sixty seventy eighty ninety"
_THOUSANDS = (
    " thousand million billion trillion quadrillion quintillion sextillion septillion octillion "
    "nonillion decillion"
)
_ONES, _TENS, _SCALES = _UNITS.split(), _DECADES.split(), _THOUSANDS.split(" ")
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def apart(match: re.Match[str], words: str) -> str:
    """Return `words`, the replacement of a match, with a space on each side where one is needed.

    It is needed next to a letter, a digit, or a sign of money, percent or degree.
    """
    text, start, end = match.string, match.start(), match.end()
    before = start > 0 and (text[start - 1].isalnum() or text[start - 1] in _SIGNS)
    after = end < len(text) and (text[end].isalnum() or text[end] in _SIGNS)
    return " " * before + words + " " * after


def digits(text: str) -> str:
    """Read digits one by one: "101" is "one zero one"."""
    return " ".join(_ONES[int(d)] for d in text)


def below_hundred(number: int) -> str:
    """Read a number from 0 to 99: 42 is "forty-two"."""
    if number < 20:
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens] + (f"-{_ONES[ones]}" if ones else "")


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    words = [f"{_ONES[hundreds]} hundred"] if hundreds else []
    return " ".join(words + [below_hundred(rest)] * bool(rest or not hundreds))


def cardinal(text: str) -> str:
    """Read a string of digits as a cardinal: "234" is "two hundred thirty-four".

    A string of more than 36 digits is read digit by digit.
    """
    text = text.lstrip("0") or "0"
    if len(text) > 3 * len(_SCALES):
        return digits(text)
    head = len(text) % 3 or 3
    groups = [text[:head]] + [text[i : i + 3] for i in range(head, len(text), 3)]
    scales = reversed(_SCALES[: len(groups)])
    words = [
        f"{_below_thousand(int(group))} {scale}".strip()
        for group, scale in zip(groups, scales, strict=True)
        if int(group)
    ]
    tail = int(groups[-1])
    if 0 < tail < 100 and len(words) > 1:  # "one thousand, two hundred", but "one thousand two"
        words[-2:] = [" ".join(words[-2:])]
    return ", ".join(words) or "zero"


def ordinal(text: str) -> str:
    """Read a string of digits as an ordinal: "21" is "twenty-first"."""
    return as_ordinal(cardinal(text))


def as_ordinal(words: str) -> str:
    """Convert number words to an ordinal: "twenty-one" becomes "twenty-first"."""
    head, last = re.fullmatch(r"(.*?)([a-z]+)", words, re.DOTALL).groups()  # type: ignore[union-attr]
    if last in _ORDINALS:
        return head + _ORDINALS[last]
    return head + (last[:-1] + "ieth" if last.endswith("y") else last + "th")


def pairs(text: str) -> str:
    """Read three or four digits in pairs, as in years and rooms: "1905" is "nineteen oh five"."""
    head, tail = text[:-2], int(text[-2:])
    first = below_hundred(int(head))
    if tail == 0:
        return f"{first} hundred"
    return f"{first} oh {_ONES[tail]}" if tail < 10 else f"{first} {below_hundred(tail)}"


def year(text: str) -> str:
    """Read four digits as a year: 2000 is "two thousand", 2024 is "twenty twenty-four"."""
    if text[1:] == "000" or text[:3] == "200":
        return cardinal(text).replace(",", "")
    return digits(text) if text[0] == "0" else pairs(text)


def plural(words: str) -> str:
    """Return the plural of a number word: "ninety" becomes "nineties", "six" becomes "sixes"."""
    if words.endswith("y"):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith(("six", "x", "s")) else "s")


@functools.lru_cache(maxsize=4096)
def number(text: str) -> str:
    """Read a number with thousands commas and decimals as words.

    "1,234.5" is "one thousand, two hundred thirty-four point five". The text must match `AMOUNT`.
    """
    whole, _, fraction = text.partition(".")
    if len(whole.partition(",")[0]) > 3 and "," in whole:  # 12345,678 has no thousands comma
        words = ", ".join(map(_whole, whole.split(",")))
    else:
        words = _whole(whole.replace(",", ""))
    return f"{words} point {digits(fraction)}" if fraction else words


def _whole(text: str) -> str:
    return digits(text) if text[0] == "0" and len(text) > 1 else cardinal(text)
