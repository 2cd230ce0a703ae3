"""Signs before numbers: plus, minus, plus or minus, about."""

import re

from speechseq.text.rules.currencies import CODES

_NUMBER = rf"(?=(?:[A-Z]{{0,2}}[$£€¥₹₩₽]|(?:{CODES}) ?)?\.?\d)"
_FREE = r"[^\s(=<>*/+,\"^:;]"  # characters not allowed before the sign
_EITHER = re.compile(r"\+ ?/ ?-|\+-(?=\.?\d)")
_ABOUT = re.compile(rf"~(?<!\w~) ?{_NUMBER}")
_NEGATIVE = re.compile(rf"-(?<!{_FREE}-){_NUMBER}")
_POSITIVE = re.compile(rf"\+(?<!{_FREE}\+) ?{_NUMBER}")
_ZONE = re.compile(r"-(?<=UTC-|GMT-)(?=\d)")


def read_signed(text: str) -> str:
    """Read signs before a number: "-5" as "minus 5", "+5" as "plus 5", "~5" as "about 5".

    The digits stay for later rules.
    """
    text = _ABOUT.sub("about ", _EITHER.sub(" plus or minus ", text))
    text = _NEGATIVE.sub("minus ", _ZONE.sub(" minus ", text))
    return _POSITIVE.sub("plus ", text)
