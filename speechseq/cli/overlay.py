"""Overrides numbers of a recipe's settings by YAML files and flags; parts are chosen in Python."""

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
    """YAML loader that reads 1e-3 as a number and refuses repeated keys."""

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
    """Read a YAML file of settings as plain data: nested dicts of numbers, strings and lists.

    Raises:
        ConfigError: the file is missing, empty or not YAML; the message names the line.
    """
    if not (text := files.read_text(path, _YAML)):
        raise ConfigError(f"{path}: is empty", "write `key: number` lines, or leave it out")
    return parse(text, str(path)) or {}


def parse(text: str, source: str) -> Any:
    """Parse a YAML text, such as the value of a flag, to plain data.

    Args:
        text: the YAML.
        source: file or flag of the text, for errors.

    Raises:
        ConfigError: the text is not YAML; the message names the line.
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
    # invalid dates, numbers with thousands of digits, wrong tags
    except (ValueError, OverflowError, AttributeError, TypeError) as error:
        raise ConfigError(f"{source}: a value cannot be read: {error}", _LINES) from None


def overlay(settings: C, data: Any, source: str) -> C:
    """Return a copy of settings in which some values are replaced.

    Args:
        settings: the old settings.
        data: nested plain data as of `settings.to_dict()`, with only the keys to change.
        source: the file or flag that `data` comes from, for messages.

    Raises:
        ConfigError: a key is unknown (the message names the nearest), a type is wrong, a number is
            out of range, or `data` gives a part another `kind`, which only the code of a recipe may
            choose.
    """
    try:
        merged = merge(settings.to_dict(), data)
        # keep the parts that the recipe chose, custom ones included
        return type(settings).from_dict(merged, also=tuple(_parts(settings)))
    except ConfigError as error:
        raise ConfigError(f"{source}: {error.problem}", error.cure) from None


def leaves(data: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of every setting in nested plain data.

    The key `kind`, which names a class, is left out. `head` is put before every key.
    """
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{head}{key}.")
        elif key != "kind":
            yield f"{head}{key}", value


def nested(key: str, value: Any) -> dict[str, Any]:
    """Expand a dotted key: nested("a.b", value) is {"a": {"b": value}}."""
    head, _, rest = key.partition(".")
    return {head: nested(rest, value) if rest else value}


def merge(base: Any, data: Any, where: str = "") -> Any:
    """Return nested plain data in which values of `data` replace those of `base` at the same keys.

    Args:
        base: the old data.
        data: new values; it may have only some of the keys.
        where: dotted key of `base` with a final dot, for errors; "" for the top.

    Raises:
        ConfigError: `data` gives a part another `kind` than `base`.
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
