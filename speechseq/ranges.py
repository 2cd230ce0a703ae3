"""Ranges of numbers, strings and tuples, declared in type hints and checked by `checked`.

A range is the metadata of `Annotated`: `dropout: Annotated[float, Range(0, 1, below=True)]`. Common
ranges have names here, as in `dropout: Dropout`. Bounds are generous: they refuse meaningless
numbers and sizes that would exhaust a machine, not unusual experiments.
"""

import dataclasses
import numbers
import reprlib
import sys
import types
import typing
from typing import Annotated, Any

from speechseq.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Range:
    """Range of numbers in a type hint: `Annotated[float, Range(0, 1)]`; `checked` enforces it.

    Attributes:
        low: lowest value.
        high: highest value.
        above: exclude `low` itself.
        below: exclude `high` itself.
    """

    low: float | int
    high: float | int
    above: bool = False
    below: bool = False

    def __contains__(self, value: Any) -> bool:
        low = self.low < value if self.above else self.low <= value
        return low and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        first, last = "above" if self.above else "from", "below " if self.below else ""
        return f"{first} {_digits(self.low)} to {last}{_digits(self.high)}"


@dataclasses.dataclass(frozen=True)
class Text:
    r"""Maximum length of strings, in a type hint: `Annotated[str, Text(100)]`.

    `longest` is the number of characters. "\0" is never allowed.
    """

    longest: int = 4096


@dataclasses.dataclass(frozen=True)
class Items:
    """Number of items of tuples, in a type hint: `Annotated[tuple[int, ...], Items(1, 8)]`.

    Attributes:
        least: minimum number.
        most: maximum number.
    """

    least: int = 0
    most: int = 10_000


_ANY: dict[type, Any] = {  # limits of hints that declare no range
    int: Range(-(2**63), 2**63 - 1),
    float: Range(-sys.float_info.max, sys.float_info.max),
    str: Text(),
}

Finite = Annotated[float, Range(-1e9, 1e9)]
Share = Annotated[float, Range(0, 1)]
BelowOne = Annotated[float, Range(0, 1, below=True)]
Dropout = BelowOne
Weight = Annotated[float, Range(0, 1e6)]
Factor = Annotated[float, Range(0, 1e9, above=True)]
Width = Annotated[int, Range(1, 65_536)]
Depth = Annotated[int, Range(1, 256)]
DepthOrNone = Annotated[int, Range(0, 256)]
Kernel = Annotated[int, Range(1, 4095)]
WidthOrNone = Annotated[int, Range(0, 65_536)]
Widths = Annotated[tuple[Width, ...], Items(1, 256)]
Update = Annotated[int, Range(0, 10**12)]
Every = Annotated[int, Range(1, 10**12)]
Count = Annotated[int, Range(1, 10**7)]
CountOrNone = Annotated[int, Range(0, 10**7)]
Threads = Annotated[int, Range(1, 1024)]
ThreadsOrNone = Annotated[int, Range(0, 1024)]
Workers = Annotated[int, Range(0, 1024)]
Seed = Annotated[int, Range(0, 2**63 - 1)]
LengthScale = Annotated[float, Range(0.1, 10)]  # of speech
DrawSeed = Annotated[int, Range(-(2**63), 2**64 - 1)]  # seeds that torch.Generator accepts


def checked(key: str, value: Any, hint: Any) -> Any:
    """Check that a value has the type and the range of a type hint; return it in that type.

    Args:
        key: name of the value in error messages, such as "trainer.seed" or "--seed".
        value: value to check, which is returned.
        hint: int, float, bool or str, with or without `Annotated` by a Range or Text, or a union of
            these with None. Integers of other libraries, and integers for a float, are converted.

    Raises:
        ConfigError: the type is wrong, or the number is out of range or not finite.
    """
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        if value is None and len(options) < len(typing.get_args(hint)):
            return None
        return checked(key, value, options[0])
    base, limit = unwrapped(hint)
    if base is int and isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return _number(key, int(value), limit, "whole number")
    if base is float and isinstance(value, numbers.Real) and not isinstance(value, bool):
        return float(_number(key, value, limit, "number"))
    if base is str and isinstance(value, str):
        return _text(key, value, limit)
    if base is Any or (base not in _ANY and isinstance(value, base)):
        return value
    expected = getattr(base, "__name__", str(base))
    raise ConfigError(f"{key}: expected {expected}, got {shown(value)} ({type(value).__name__})")


def unwrapped(hint: Any) -> tuple[Any, Any]:
    """Split a type hint into the type and its limits (a Range, Text or Items).

    The limits are those of `Annotated`; a hint without `Annotated` gets the default limits of its
    type.
    """
    if typing.get_origin(hint) is Annotated:
        base, *limits = typing.get_args(hint)
        return base, limits[0]
    return hint, _ANY.get(hint, Items()) if isinstance(hint, type) else Items()


def shown(value: object) -> str:
    """Return a value as text for error messages, cut if it is long."""
    return _SHORT.repr(value)


class _Short(reprlib.Repr):
    def repr_int(self, value: int, level: int) -> str:
        """Short form of an integer; powers of two for those too long for Python's decimals."""
        if abs(value) < 10**self.maxlong:
            return repr(value)
        return f"{'-' * (value < 0)}2**{value.bit_length() - 1} or more"


_SHORT = _Short()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 80, 80


def _number(key: str, value: Any, limit: Range, name: str) -> Any:
    if value in limit:  # NaN is in no range
        return value
    raise ConfigError(f"{key}: {shown(value)} is out of range", f"use a {name} {limit}")


def _text(key: str, value: str, limit: Text) -> str:
    if "\0" in value:
        raise ConfigError(f"{key}: {shown(value)} holds a NUL character", "leave it out")
    if len(value) > limit.longest:
        problem = f"{key}: a text of {len(value):,} characters is out of range"
        raise ConfigError(problem, f"use at most {limit.longest:,} characters")
    return value


def _digits(value: float | int) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
