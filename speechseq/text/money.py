"""Sums of money: dollars and cents, pounds and pence, millions."""

import re

from speechseq.text.numbers import AMOUNT, START, apart, cardinal, number, pairs

# sign: (one, many, one hundredth, many hundredths)
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "jeon", "jeon"),
    "₽": ("ruble", "rubles", "kopeck", "kopecks"),
}
_LANDS = {
    "US": "U.S. ", "U.S.": "U.S. ", "A": "Australian ", "AU": "Australian ", "C": "Canadian ",
    "CA": "Canadian ", "NZ": "New Zealand ", "HK": "Hong Kong ", "S": "Singapore ",
}  # fmt: skip
_CODES = {"USD": "$", "GBP": "£", "EUR": "€", "JPY": "¥", "INR": "₹", "RUB": "₽", "CHF": "CHF"}
_CURRENCIES["CHF"] = ("Swiss franc", "Swiss francs", "centime", "centimes")
_SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion",
           "tn": "trillion"}  # fmt: skip
_SCALE = (
    r"(?:[ -]?(hundred|thousand|million|billion|trillion)(?![a-z])"
    r"|(?: ?(mn|bn|tn)|([KkMmBb]))(?!\w))"
)
_SIGN = "[$£€¥₹₩₽]"
_LAND = r"(?:(?<![A-Za-z.])(US|U\.S\.|AU|A|CA|C|NZ|HK|S))?"
_BEFORE = re.compile(
    rf"{_LAND}({_SIGN}) ?({AMOUNT}|\.\d++)(?:(?: ?- ?|( to )){_SIGN}?({AMOUNT}))?+{_SCALE}?"
    r"( (?:bill|note|coin)s?(?![a-z]))?"
)
_OLD = re.compile(r"£ ?(\d++) (\d{1,2})s\.?(?: (\d{1,2})d\.?)?(?![\w])")
_AFTER = re.compile(rf"{START}({AMOUNT}) ?(?:({_SIGN})|({'|'.join(_CODES)})(?![A-Za-z0-9]))")
_EUROPEAN = re.compile(r"(€ ?\d{1,3}),(\d\d)(?!\d)")
_CENTS = re.compile(rf"{START}({AMOUNT}) ?¢")


def read_money(text: str) -> str:
    """Sums with a sign before or after them; a sign alone is left to `signs`."""
    text = _EUROPEAN.sub(r"\1.\2", text)
    text = _CENTS.sub(lambda m: apart(m, _counted(m[1], "cent", "cents")), text)
    text = _OLD.sub(lambda m: apart(m, _old_money(m)), text)
    text = _BEFORE.sub(lambda m: apart(m, _sum(m)), text)
    return _AFTER.sub(lambda m: apart(m, _amount(m[1], m[2] or _CODES[m[3]])), text)


def _sum(match: re.Match[str]) -> str:
    land, sign, first, _, second, scale, short, letter, note = match.groups()
    scale = scale or _SCALES.get((short or letter or "").lower(), "")
    one, many = (_LANDS.get(land, "") + word for word in _CURRENCIES[sign][:2])
    if note:
        return f"{number(_zero(first))} {f'{scale} ' * bool(scale)}{one}{note}"
    if second:
        ends = f"{_number(first)} to {_number(second)}"
        return f"{ends} {f'{scale} ' * bool(scale)}{many}"
    if scale:
        return f"{number(_zero(first))} {scale} {many}"
    return _amount(first, sign, _LANDS.get(land, ""))


def _amount(text: str, sign: str, land: str = "") -> str:
    """Whole and hundredths: "twenty-one dollars, forty-five cents"."""
    one, many, cent, cents = _CURRENCIES[sign]
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
    """1400 without a comma is "fourteen hundred" where money is meant."""
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
