"""Number words against inflect's."""

import re

import inflect
from hypothesis import given
from hypothesis import strategies as st

from speechseq.text.rules.numbers import cardinal, digits, number, ordinal, pairs, plural, year

ENGINE = inflect.engine()


def test_small_numbers_are_inflects() -> None:
    for n in range(2000):
        assert cardinal(str(n)) == ENGINE.number_to_words(n, andword="")


@given(st.integers(0, 10**36 - 1))
def test_cardinals_are_inflects(n: int) -> None:
    assert cardinal(str(n)) == re.sub(" +", " ", str(ENGINE.number_to_words(n, andword="")))


@given(st.integers(1, 10**12))
def test_ordinals_are_inflects(n: int) -> None:
    assert ordinal(str(n)) == ENGINE.number_to_words(ENGINE.ordinal(n), andword="")


def test_beyond_what_has_a_name_digits_are_said_one_by_one() -> None:
    assert cardinal("1" + "0" * 35).endswith("decillion")
    assert cardinal("1" + "0" * 36) == digits("1" + "0" * 36)
    assert len(cardinal("9" * 100_000).split()) == 100_000  # int() refuses so many digits


def test_years_and_pairs() -> None:
    said = {y: year(y) for y in ("1000", "1066", "1800", "1905", "2000", "2009", "2010")}
    assert list(said.values()) == [
        "one thousand", "ten sixty-six", "eighteen hundred", "nineteen oh five", "two thousand",
        "two thousand nine", "twenty ten",
    ]  # fmt: skip
    assert [pairs("605"), pairs("500"), pairs("2915")] == [
        "six oh five", "five hundred", "twenty-nine fifteen",
    ]  # fmt: skip


def test_numbers_as_written() -> None:
    assert number("1,234.50") == "one thousand, two hundred thirty-four point five zero"
    assert number("007") == "zero zero seven"
    assert number("12345,678").count(",") == 2  # no thousands comma, so two numbers
    assert [plural(w) for w in ("ninety", "six", "hundred")] == ["nineties", "sixes", "hundreds"]
