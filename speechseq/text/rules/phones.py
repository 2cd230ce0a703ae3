"""Telephone numbers, read digit by digit with a pause between the groups."""

import re

from speechseq.text.rules.numbers import digits

_SEPARATOR = "[ .-]"
_PATTERNS = (
    # (555) 123-4567, 555-123-4567, 1-800-555-0199, +1 555 123 4567
    rf"(?<![\w.,+-])(?:\+?\d{{1,3}}{_SEPARATOR})?(?:\(\d{{3}}\) ?|\d{{3}}{_SEPARATOR})"
    rf"\d{{3}}{_SEPARATOR}\d{{4}}(?![\w-])",
    # +44 20 7946 0958, +15551234567
    rf"(?<!\w)\+\d{{1,3}}(?:{_SEPARATOR}?\(?\d{{1,5}}\)?){{1,6}}(?![\d-])",
    r"(?<![\w.,-])0\d{2,4} \d{3,4} \d{3,4}(?![\w-])",  # 020 7946 0958
    r"(?<![\w.,-])\d{3}-\d{4}(?![\w-])",  # 555-1234
    r"(?<![\w.,-])\d{3}-\d{2}-\d{4}(?![\w-])",  # a social security number, read in the same way
    r"(?<=[Cc]all )(?:911|999|112|411|0)(?!\d)|(?<=[Dd]ial )\d{3}(?!\d)",
)
_PHONE = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS))


def read_phones(text: str) -> str:
    """Read every telephone number in a text digit by digit, with a comma between its groups."""
    return _PHONE.sub(_spoken, text)


def _is_phone(groups: list[str], text: str) -> bool:
    """Return True for eight digits or more, but not for "+50 000 000" and "+7.3"."""
    thousands = len(groups[0]) <= 3 and set(groups[1:]) == {"000"}
    decimals = "." in text and len(groups) == 2
    return len("".join(groups)) >= 8 and not thousands and not decimals


def _spoken(match: re.Match[str]) -> str:
    found = re.findall(r"\d+", match[0])
    if match[0].startswith("+") and not _is_phone(found, match[0]):
        return match[0]
    groups = ", ".join(map(digits, found))
    return "plus " + groups if match[0].startswith("+") else groups
