"""Numbers from YAML files and flags, laid over a recipe's settings; parts are chosen in Python."""

import re
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from speechseq import files
from speechseq.config import Config
from speechseq.errors import ConfigError

_YAML = files.Kind(
    name="a YAML file of numbers",
    limit=1 << 20,
    error=ConfigError,
    cure="name a YAML file of numbers",
    streams=True,
)
C = TypeVar("C", bound=Config)
_LINES = "write `key: number` lines"


class _Loader(yaml.SafeLoader):
    """YAML as people expect it: 1e-3 is a number, and no key may stand twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                problem = "a key must be a name"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def read_file(path: str | Path) -> Any:
    """The plain data of a YAML overlay.

    Raises:
        ConfigError: no such file, an empty one, or no YAML; the line is named.
    """
    if not (text := files.read_text(path, _YAML)):
        raise ConfigError(f"{path}: is empty", "write `key: number` lines, or leave it out")
    return parse(text, str(path)) or {}


def parse(text: str, source: str) -> Any:
    """The plain data that a YAML text stands for.

    Raises:
        ConfigError: it is no YAML; the line is named.
    """
    try:
        return yaml.load(text, _Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark and "\n" in text else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{source}{line}: {problem}", _LINES) from None
    except RecursionError:
        raise ConfigError(f"{source}: is nested too deeply", _LINES) from None
    # what looks like a date, a number of thousands of digits, or is tagged as what it is not
    except (ValueError, OverflowError, AttributeError, TypeError) as error:
        raise ConfigError(f"{source}: a value cannot be read: {error}", _LINES) from None


def overlay(settings: C, data: Any, source: str) -> C:
    """The settings with some numbers replaced; `data` is nested as `to_dict` nests.

    Raises:
        ConfigError: unknown key (the nearest is named), wrong type, a number out of range, a file
            or flag that chooses a part; `source` is named.
    """
    try:
        merged = merge(settings.to_dict(), data)
        # parts that the recipe chose stay valid, its author's own ones too
        return type(settings).from_dict(merged, also=tuple(_parts(settings)))
    except ConfigError as error:
        raise ConfigError(f"{source}: {error.problem}", error.cure) from None


def leaves(data: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of nested plain data and their values, without the kinds of parts."""
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{head}{key}.")
        elif key != "kind":
            yield f"{head}{key}", value


def nested(key: str, value: Any) -> dict[str, Any]:
    """{"a": {"b": value}} for "a.b"."""
    head, _, rest = key.partition(".")
    return {head: nested(rest, value) if rest else value}


def merge(base: Any, data: Any, where: str = "") -> Any:
    """Nested plain data with the values of `data` in place of its own.

    Raises:
        ConfigError: `data` chooses another part than `base` has.
    """
    if not isinstance(base, Mapping) or not isinstance(data, Mapping):
        return data
    if data.get("kind", base.get("kind")) != base.get("kind"):
        raise ConfigError(
            f"{where}kind: files and flags set numbers, they do not choose parts",
            "choose the part in the recipe",
        )
    changed = {str(k): merge(base.get(k), value, f"{where}{k}.") for k, value in data.items()}
    return {**base, **changed}


def _parts(config: Config) -> Iterator[type[Config]]:
    for value in vars(config).values():
        if isinstance(value, Config):
            yield type(value)
            yield from _parts(value)
