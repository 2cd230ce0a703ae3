"""Remaining digits, read last: ordinals, fractions, ranges, serial numbers, years, counts."""

import functools
import re

from speechseq.text.rules.bare_numbers import bare
from speechseq.text.rules.numbers import (
    AMOUNT,
    START,
    apart,
    below_hundred,
    cardinal,
    digits,
    number,
    ordinal,
    pairs,
    plural,
)

_NUMBER_SIGN = re.compile(r"(?<![A-Za-z])([Nn])o(s?)\. ?(?=[A-Z]{0,3}\d)|#(?=\d)")
_SPACED_THOUSANDS = re.compile(r"(?<![\d.,])(?<!\d )\d{1,3}(?: 000)++(?!\d| \d)")
_ORDINAL = re.compile(r"(?<!\d)(\d++(?:,\d{3}(?!\d))*+)(?:st|nd|rd|th|ST|ND|RD|TH)(?![A-Za-z0-9])")
_MIXED = re.compile(r"(?<![\d/.,])(\d++)(?: |-)(\d{1,3})/(\d{1,3})(?:th|rd|nd)?s?(?![A-Za-z\d/])")
_FRACTION = re.compile(r"(?<![\d/.,])(\d{1,3})/(\d{1,3})(?:(?:th|rd|nd)s?)?(?![A-Za-z\d/]|\.\d)")
_INTERNET = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\w)(?::(\d{1,5})(?![\w:]))?")
_POWER_OF_TEN = re.compile(rf"{START}({AMOUNT})[eE]([+-]?)(\d{{1,3}})(?![A-Za-z0-9])")
_MINUS = re.compile(r"(?<=\d) ?- ?(?=\d{1,9} ?=)")
_STAR = re.compile(r"(?<=\d) ?\* ?(?=\d)")
_NAMED_VERSION = re.compile(r"([vV])(?<![A-Za-z0-9].)(?=\d+\.\d)")
_TIMES_POWER = re.compile(r"(?<=\d) ?[xX] ?(?=10\^)")
_SAME_LETTER = re.compile(r"(?<![\w-])([A-Z]{1,2})(\d{1,3}) ?- ?(?=\1\d)")
_TO_TIMES = re.compile(r"(?<=\d)-(?=\d+x(?!\w))")
_VERSION = re.compile(rf"{START}\d++(?:\.\d++){{2,}}+")
_CHAIN = re.compile(rf"(?<![\w.,-])({AMOUNT})(?: ?-(?: ?)({AMOUNT}))(?![\d-])")
_LIST = re.compile(r"(?<=\d)-(?=\d)")
_CALIBER = re.compile(
    r"(?<![\w.,])\.(22|25|30|32|38|40|44|45|50|357)"
    r"(?=[ -](?:caliber|calibre|rifle|pistol|revolver|gun|shot|shell|cartridge|bullet|Magnum))"
)
_POINT = re.compile(r"(?<!\d)\.(\d++)")
_TIMES = re.compile(r"(?<=\d) ?[xX] ?(?=\d)(?!\d+ x)")
_LETTERED = re.compile(r"(?<![\w-])(\d{1,4})-([A-Z])(?![A-Za-z0-9])")
_MIXTURE = re.compile(r"(?<![a-z0-9])(?<!\d[.,])(?:[a-z]++\d|\d++[a-z])[a-z\d]*", re.I)
_PLAIN = re.compile(AMOUNT)
_GLUED = re.compile(r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])")

_HALVES = {"2": ("half", "halves"), "4": ("quarter", "quarters")}
_SAYINGS = {"24/7": "twenty-four seven", "9/11": "nine eleven"}


def read_numerals(text: str) -> str:
    """Convert all digits that earlier rules have left in a text to words.

    They are ordinals, fractions ("1/2" is "one half"), ranges ("1914-18" is "nineteen fourteen to
    eighteen"), serial numbers (the letter and each digit of "C2766"), years and counts.
    """
    text = _SPACED_THOUSANDS.sub(lambda m: m[0].replace(" ", ""), text)
    text = _NUMBER_SIGN.sub(lambda m: f"{m[1] or 'n'}umber{m[2] or ''} ", text)
    text = _ORDINAL.sub(lambda m: ordinal(m[1].replace(",", "")), text)
    if "/" in text:
        text = _MIXED.sub(lambda m: f"{cardinal(m[1])} and {_fraction(m[2], m[3])}", text)
        text = _FRACTION.sub(lambda m: _SAYINGS.get(m[0]) or _fraction(m[1], m[2]), text)
    text = _CALIBER.sub(lambda m: number(m[1]), text)
    text = _STAR.sub(" times ", _MINUS.sub(" minus ", text))
    text = _POWER_OF_TEN.sub(_power_of_ten, text)
    text = _NAMED_VERSION.sub(lambda m: "Version " if m[1] == "V" else "version ", text)
    if "-" in text:
        text = _SAME_LETTER.sub(r"\1\2 to ", _TO_TIMES.sub(" to ", text))
    if "^" in text:
        text = _TIMES_POWER.sub(" times ", text)
    text = _INTERNET.sub(_internet, text)
    text = _VERSION.sub(lambda m: " point ".join(map(_short, m[0].split("."))), text)
    text = _TIMES.sub(" by ", text)
    text = _LETTERED.sub(lambda m: f"{_room(m[1])} {m[2]}", text)
    text = _MIXTURE.sub(_mixture, text)
    text = _CHAIN.sub(_range, text)
    text = _LIST.sub(" ", text)
    text = _POINT.sub(lambda m: f" point {digits(m[1])}", text)
    return _PLAIN.sub(_plain, text)


def _internet(match: re.Match[str]) -> str:
    address, _, port = match[0].partition(":")
    spoken = " dot ".join(map(digits, address.split(".")))
    return f"{spoken}, port {digits(port)}" if port else spoken


def _plain(match: re.Match[str]) -> str:
    text, start, end = match.string, match.start(), match.end()
    if end - start < 3:  # the context does not matter for one or two digits
        return apart(match, number(match[0]))
    return apart(match, bare(match[0], text[max(0, start - 40) : start], text[end : end + 60]))


@functools.lru_cache(maxsize=4096)
def _fraction(top: str, bottom: str) -> str:
    """Words for a fraction: 3/4 is "three quarters"; improper fractions are read with "over"."""
    if int(top) >= int(bottom) or int(bottom) > 100:
        both = f"{cardinal(top)} {cardinal(bottom)}"
        return (
            both if top == bottom and len(top) == 2 else f"{cardinal(top)} over {cardinal(bottom)}"
        )
    name = ordinal(bottom)
    one, many = _HALVES.get(bottom, (name, name + "s"))
    return f"{cardinal(top)} {one if top == '1' else many}"


def _power_of_ten(match: re.Match[str]) -> str:
    sign = "minus " if match[2] == "-" else ""
    return f"{number(match[1])} times ten to the power of {sign}{cardinal(match[3])}"


def _short(text: str) -> str:
    return cardinal(text) if (len(text) < 3 and text[0] != "0") or text == "0" else digits(text)


def _room(text: str) -> str:
    """Number of a room, an exhibit or a size: 133 is "one thirty-three"."""
    return pairs(text) if len(text) > 2 and text[-2:] != "00" else cardinal(text)


def _range(match: re.Match[str]) -> str:
    """Words for a range: 1914-1918 and 1914-18 are years, all others numbers."""
    low, high = match[1], match[2]
    if low == high:  # 50-50
        return f"{number(low)} {number(high)}"
    short_year = len(low) == 4 and len(high) == 2 and high[0] == "0"
    last = f"oh {digits(high[1])}" if short_year else bare(high, "", "")
    return f"{bare(low, '', '')} to {last}"


def _mixture(match: re.Match[str]) -> str:
    """Words of mixed letters and digits, such as "C2766", "VC836", "mp3", "H2O"; not "2nd"."""
    pieces = _GLUED.split(match[0])
    if pieces[-1] == "s" and len(pieces) > 1:  # F-16s, MP3s, 747s
        *before, count, _ = pieces
        return " ".join([*map(_piece, before), plural(_piece(count))])
    count, letter = [*pieces, ""][:2]
    sized = len(pieces) == 2 and len(letter) == 1 and 3 <= len(count) <= 4
    if sized and count.isdecimal() and count[0] != "0":  # 1080p, 100x
        return f"{_room(count)} {letter}"
    return " ".join(map(_piece, pieces))


def _piece(piece: str) -> str:
    if piece.isdecimal():
        return digits(piece) if len(piece) > 2 or piece[0] == "0" else below_hundred(int(piece))
    spelled = (piece.isupper() and len(piece) <= 3) or not re.search("[aeiouyAEIOUY]", piece)
    return " ".join(piece) if spelled and len(piece) <= 5 else piece
