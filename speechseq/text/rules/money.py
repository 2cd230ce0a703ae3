"""Sums of money: dollars and cents, pounds and pence, millions."""

import re

from speechseq.text.rules.currencies import (
    CODE_SIGNS,
    CURRENCIES,
    EURO,
    LANDS,
    SIGNS,
    codes_for_signs,
    signs_for_codes,
)
from speechseq.text.rules.numbers import AMOUNT, START, apart, cardinal, number, pairs

_SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion",
           "tn": "trillion"}  # fmt: skip
_SCALE = (
    r"(?:[ -]?(hundred|thousand|million|billion|trillion)(?![a-z])"
    r"|(?: ?(mn|bn|tn)|([KkMmBb]))(?!\w))"
)
_LAND = r"(?:(?<![A-Za-z.])(US|U\.S\.|AU|A|CA|C|NZ|HK|S))?"
_BEFORE = re.compile(
    rf"{_LAND}({SIGNS}) ?({AMOUNT}|\.\d++)(?:(?: ?- ?|( to )){SIGNS}? ?({AMOUNT}))?+{_SCALE}?"
    r"( (?:bill|note|coin)s?(?![a-z]))?"
)
_OLD = re.compile(r"£ ?(\d++) (\d{1,2})s\.?(?: (\d{1,2})d\.?)?(?![\w])")
_AFTER = re.compile(rf"{START}(?:({AMOUNT}) ?- ?)?({AMOUNT}){_SCALE}? ?({SIGNS})(?![A-Za-z0-9])")
_EUROPEAN = re.compile(
    rf"((?:€|{EURO}) ?\d{{1,3}}),(\d\d)(?!\d)|(?<![\d.,])(\d{{1,3}}),(\d\d)(?= ?(?:€|{EURO}))"
)
_TWICE_BEFORE = re.compile(rf"({CODE_SIGNS}) ?[$£€¥₹₩₽] ?(?=\.?\d)")
_TWICE_AFTER = re.compile(rf"[$£€¥₹₩₽] ?({AMOUNT}) ?({CODE_SIGNS})")
_SHORT_SCALE = "k|m|mn|b|bn|tn|thousand|million|billion|trillion"
_SCALES_TWICE = re.compile(
    rf"({SIGNS} ?{AMOUNT}) ?({_SHORT_SCALE}) ?- ?{SIGNS}? ?(?={AMOUNT} ?\2(?!\w))", re.I
)
_SUM_RANGE = re.compile(rf"({SIGNS} ?{AMOUNT} ?(?:{_SHORT_SCALE})) ?- ?(?={SIGNS})", re.I)
_RUPEES = re.compile(r"Rs(?<![A-Za-z]..)\.? ?(?=\d)")
_PENCE = re.compile(rf"{START}(?<![\w.,$£€])(\d{{1,2}})p(?![A-Za-z0-9])")
_FIGURE_P = re.compile(r"\dp")
_ANY = re.compile(f"{SIGNS}|¢")
_CENTS = re.compile(rf"{START}({AMOUNT}) ?¢")


def read_money(text: str) -> str:
    """Convert sums of money to words: "$5" becomes "five dollars", "5 EUR" "five euros".

    A sign or a code may stand before or after the number. A sign without a number is read by
    `signs.read_signs`.
    """
    if _FIGURE_P.search(text):
        text = _PENCE.sub(lambda m: _counted(m[1], "penny", "pence"), text)
    text = signs_for_codes(_RUPEES.sub("₹", text))
    if _ANY.search(text):
        text = _sums(text)
    return codes_for_signs(text)


def _sums(text: str) -> str:
    if "," in text:
        text = _EUROPEAN.sub(lambda m: f"{m[1] or m[3]}.{m[2] or m[4]}", text)
    text = _TWICE_AFTER.sub(r"\2 \1", _TWICE_BEFORE.sub(r"\1 ", text))
    if "-" in text:
        text = _SUM_RANGE.sub(r"\1 to ", _SCALES_TWICE.sub(r"\1-", text))
    text = _CENTS.sub(lambda m: apart(m, _counted(m[1], "cent", "cents")), text)
    text = _OLD.sub(lambda m: apart(m, _old_money(m)), text)
    text = _BEFORE.sub(lambda m: apart(m, _sum(m)), text)
    return _AFTER.sub(lambda m: apart(m, _sum_before(m)), text)


def _sum(match: re.Match[str]) -> str:
    land, sign, first, _, second, scale, short, letter, note = match.groups()
    scale = scale or _SCALES.get((short or letter or "").lower(), "")
    one, many = (LANDS.get(land, "") + word for word in CURRENCIES[sign][:2])
    if note:
        return f"{number(_zero(first))} {f'{scale} ' * bool(scale)}{one}{note}"
    if second:
        ends = f"{_number(first)} to {_number(second)}"
        return f"{ends} {f'{scale} ' * bool(scale)}{many}"
    if scale:
        return f"{number(_zero(first))} {scale} {many}"
    return _amount(first, sign, LANDS.get(land, ""))


def _sum_before(match: re.Match[str]) -> str:
    """Words for a sum whose sign or code follows the number."""
    low, high, scale, short, letter, sign = match.groups()
    scale = scale or _SCALES.get((short or letter or "").lower(), "")
    if not (low or scale):
        return _amount(high, sign)
    ends = f"{_number(low)} to {_number(high)}" if low else number(_zero(high))
    return f"{ends} {f'{scale} ' * bool(scale)}{CURRENCIES[sign][1]}"


def _amount(text: str, sign: str, land: str = "") -> str:
    """Words for an amount with hundredths: "twenty-one dollars, forty-five cents"."""
    one, many, cent, cents = CURRENCIES[sign]
    whole, _, fraction = _zero(text).partition(".")
    if len(fraction) not in (0, 2):
        return f"{number(_zero(text))} {land}{many}"
    spoken = _counted(whole, land + one, land + many)
    if not fraction.strip("0"):
        return spoken
    hundredths = _counted(fraction.lstrip("0"), cent, cents)
    return hundredths if not whole.strip("0,") else f"{spoken}, {hundredths}"


def _counted(text: str, one: str, many: str) -> str:
    return f"{_number(text)} {one if text.lstrip('0') == '1' else many}"


def _number(text: str) -> str:
    """Words for a number of money: 1400 without a comma is "fourteen hundred"."""
    if re.fullmatch(r"1[1-9]00", text):
        return pairs(text)
    return number(_zero(text))


def _zero(text: str) -> str:
    return f"0{text}" if text.startswith(".") else text


def _old_money(match: re.Match[str]) -> str:
    pounds, shillings, pence = match.groups()
    words = [_counted(pounds, "pound", "pounds"), _counted(shillings, "shilling", "shillings")]
    if pence:
        words.append(f"{cardinal(pence)} {'penny' if int(pence) == 1 else 'pence'}")
    return ", ".join(words)
