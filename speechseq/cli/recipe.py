"""A recipe's flags: --run, --config and one for every number of its settings."""

import argparse
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from speechseq.cli.overlay import leaves, merge, nested, overlay, parse, read_file
from speechseq.cli.parser import Parser
from speechseq.config import Config

C = TypeVar("C", bound=Config)


def read_flags(
    recipe: Callable[[Any, Path], None], settings_class: type[C], flags: list[str]
) -> tuple[C, Path]:
    """Settings and run folder: the class's defaults, then each --config in turn, then the flags.

    Raises:
        ConfigError: unknown flag or key (the nearest is named), wrong type, a number out of range.
    """
    settings = settings_class()
    arguments = vars(_parser(recipe, settings).parse_args(flags))
    for path in arguments["config"]:
        settings = overlay(settings, read_file(path), path)
    data: dict[str, Any] = {}
    for key, default in leaves(settings.to_dict()):
        if key in arguments:
            text = arguments[key]
            value = text if isinstance(default, str) else parse(text, f"--{key}")
            data = merge(data, nested(key, value))
    # all flags at once: two numbers may make sense only together
    return overlay(settings, data, "flags"), arguments["run"]


def _parser(recipe: Callable, settings: Config) -> Parser:
    source = Path(inspect.getfile(recipe))
    about = inspect.getdoc(inspect.getmodule(recipe)) or ""
    parser = Parser(prog=source.name, description=about)
    parser.usage = "%(prog)s [--run DIR] [--config FILE.yaml] [--setting VALUE ...]"
    parser.add_argument(
        "--run",
        type=Path,
        default=Path("runs") / source.stem,
        metavar="DIR",
        help="where the run writes and resumes (default: %(default)s)",
    )
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="FILE.yaml",
        help="numbers to lay over the defaults; may be given more than once",
    )
    group = parser.add_argument_group("settings")
    for key, default in leaves(settings.to_dict()):
        shown = "null" if default is None else str(default)
        group.add_argument(
            f"--{key}",
            dest=key,
            default=argparse.SUPPRESS,
            metavar="VALUE",
            help=f"default: {shown}".replace("%", "%%"),
        )
    return parser
