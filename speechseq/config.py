"""Config: base of frozen, keyword-only dataclasses that convert to plain data and back strictly."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from speechseq.errors import ConfigError
from speechseq.ranges import Items, checked, shown, unwrapped

C = TypeVar("C", bound="Config")  # the runtime checker of hints does not support typing.Self


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Base class of all settings; subclasses are frozen, keyword-only dataclasses.

    Fields hold numbers, booleans, strings, tuples and other Configs. The constructor checks their
    types, and the ranges of numbers, which are part of the type hints (`layers: Depth = 2`, see
    `ranges`). It calls `check()` last, which raises ConfigError for invalid combinations of values.
    `to_dict` and `from_dict` convert to plain data and back.

    A field that may hold one of several Configs is declared with `choice(...)`. Each of these
    classes has a `kind`, the name by which plain data tells them apart.
    """

    kind: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for name, (hint, metadata) in _fields(type(self)).items():
            value = _value(getattr(self, name), hint, metadata, (), name)
            object.__setattr__(self, name, value)  # the class is frozen
        self.check()

    def check(self) -> None:
        """Raise ConfigError for invalid combinations of values; subclasses may override it."""

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain data (dicts, lists, numbers, strings), the inverse of `from_dict`."""
        head = {"kind": self.kind} if self.kind else {}
        return head | {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_dict(
        cls: type["C"],
        data: Any,
        *,
        also: Sequence[type["Config"]] = (),
        where: str = "",
    ) -> "C":
        """Build from plain data, strictly.

        Args:
            data: output of `to_dict`; missing keys take their defaults.
            also: further Config classes that a `choice` field may hold (a custom mechanism).
            where: dotted key of this data, for error messages.

        Raises:
            ConfigError: a key is unknown (the message names the nearest valid one) or missing, a
                type is wrong, or a number is out of range.

        Examples:
            >>> from speechseq.audio.mel import AudioConfig
            >>> AudioConfig.from_dict({"mels": 40}).mels
            40
            >>> AudioConfig.from_dict({"mesl": 40})
            Traceback (most recent call last):
            speechseq.errors.ConfigError: mesl: unknown key
              cure: did you mean 'mels'? valid: ...
        """
        if not isinstance(data, Mapping):
            problem = f"expected a mapping of keys, got {shown(data)}"
            raise ConfigError(f"{where or cls.__name__}: {problem}")
        fields = _fields(cls)
        values = {key: value for key, value in data.items() if key != "kind" or not cls.kind}
        for key in values:
            if key not in fields:
                raise ConfigError(f"{_join(where, key)}: unknown key", nearest(key, fields))
        built = {
            key: _value(value, *fields[key], also, _join(where, key))
            for key, value in values.items()
        }
        try:
            return cls(**built)
        except TypeError as error:
            raise ConfigError(f"{where or cls.__name__}: {error}") from None
        except ConfigError as error:  # check() names the field only: put the dotted key in front
            raise ConfigError(_join(where, error.problem), error.cure) from None


def choice(*options: type[Config], default: Config) -> Any:
    """Declare a dataclass field that holds one of several Configs: `part: Part = choice(A, B, …)`.

    Args:
        options: the classes that the field may hold; in plain data, `kind` names the class.
        default: the field's value if none is given.
    """
    return dataclasses.field(default=default, metadata={"options": options})


def nearest(key: object, valid: Iterable[str]) -> str:
    """Return advice for an unknown key: the most similar valid name, and all valid names."""
    names = sorted(valid)
    close = difflib.get_close_matches(str(key)[:200], names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}valid: {', '.join(names)}"


def _join(where: str, key: object) -> str:
    name = key if isinstance(key, str) and len(key) < 200 else shown(key)
    return f"{where}.{name}" if where else str(name)


def _fields(cls: type[Config]) -> dict[str, tuple[Any, Mapping]]:
    """Hint (ranges included) and metadata of each field; cached, because reading hints is slow."""
    if cls not in _FIELDS:
        hints = typing.get_type_hints(cls, include_extras=True)
        _FIELDS[cls] = {f.name: (hints[f.name], f.metadata) for f in dataclasses.fields(cls)}
    return _FIELDS[cls]


_FIELDS: dict[type[Config], dict[str, tuple[Any, Mapping]]] = {}


def _plain(value: Any) -> Any:
    if isinstance(value, Config):
        return value.to_dict()
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def _value(
    value: Any, hint: Any, metadata: Mapping, also: Sequence[type[Config]], where: str
) -> Any:
    """Convert plain data to a value of the hinted type, or raise ConfigError."""
    if "options" in metadata:
        return _one_of(value, (*also, *metadata["options"]), also, where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _optional(value, arguments, also, where)
    base, limit = unwrapped(hint)
    if typing.get_origin(base) is tuple:
        return _tuple(value, typing.get_args(base), limit, also, where)
    if origin is typing.Literal:
        if not isinstance(value, str) or value not in arguments:
            problem = f"{shown(value)} is none of {', '.join(map(repr, arguments))}"
            raise ConfigError(f"{where}: {problem}")
        return value
    if isinstance(hint, type) and issubclass(hint, Config):
        return value if isinstance(value, hint) else hint.from_dict(value, also=also, where=where)
    return checked(where, value, hint)


def _optional(value: Any, hints: tuple, also: Sequence[type[Config]], where: str) -> Any:
    if value is None and type(None) in hints:
        return None
    rest = [hint for hint in hints if hint is not type(None)]
    for hint in rest[:-1]:
        try:
            return _value(value, hint, {}, also, where)
        except ConfigError:
            continue
    return _value(value, rest[-1], {}, also, where)


def _tuple(
    value: Any, hints: tuple, limit: Items, also: Sequence[type[Config]], where: str
) -> tuple:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{where}: expected a list, got {shown(value)}")
    if not limit.least <= len(value) <= limit.most:
        problem = f"{where}: a list of {len(value):,} is out of range"
        raise ConfigError(problem, f"use {limit.least} to {limit.most:,} values")
    if len(hints) == 2 and hints[1] is Ellipsis:
        hints = (hints[0],) * len(value)
    if len(hints) != len(value):
        raise ConfigError(f"{where}: expected {len(hints)} values, got {len(value)}")
    pairs = enumerate(zip(value, hints, strict=True))
    return tuple(_value(item, hint, {}, also, f"{where}[{i}]") for i, (item, hint) in pairs)


def _one_of(value: Any, options: tuple, also: Sequence[type[Config]], where: str) -> Config:
    if isinstance(value, Config):
        return value
    kinds = {option.kind: option for option in options}  # the field's own options take precedence
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if not isinstance(kind, str) or kind not in kinds:
        problem = f"{_join(where, 'kind')}: unknown {shown(kind)}"
        raise ConfigError(problem, nearest(shown(kind), kinds))
    return kinds[kind].from_dict(value, also=also, where=where)
