"""Flags of a recipe: --run, --config and one for every number of its settings."""

import argparse
import dataclasses
import inspect
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from speechseq.cli.overlay import leaves, merge, nested, overlay, parse, read_file
from speechseq.cli.parser import Parser
from speechseq.cli.preflight import check_start
from speechseq.cli.recipe_faults import recipe_code
from speechseq.config import Config
from speechseq.errors import ConfigError

C = TypeVar("C", bound=Config)


def read_flags(
    recipe: Callable[[Any, Path], None], settings_class: type[C], flags: list[str]
) -> tuple[C, Path]:
    """Return the settings and the run folder that the flags of a recipe ask for.

    The files of --config override the default settings in their order, then the other flags do.

    Args:
        recipe: the recipe's function `main`.
        settings_class: Config class of the recipe's settings.
        flags: words of the command line.

    Raises:
        ConfigError: a flag or key is unknown (the message names the nearest), a type is wrong, or a
            number is out of range.
    """
    settings = _defaults(recipe, settings_class)
    arguments = vars(_parser(recipe, settings).parse_args(flags))
    for path in arguments["config"]:
        settings = overlay(settings, read_file(path), path)
    data: dict[str, Any] = {}
    for key, default in leaves(settings.to_dict()):
        if key in arguments:
            text = arguments[key]
            value = text if isinstance(default, str) else parse(text, f"--{key}")
            data = merge(data, nested(key, value))
    # all flags at once: two numbers may be valid only together
    settings = overlay(settings, data, "flags")
    _check_init(settings, arguments["run"])
    return settings, arguments["run"]


def run(
    recipe: Callable[[Any, Path], None], settings_class: type[Config], flags: list[str]
) -> None:
    """Run a recipe with the settings of its flags, after device and folders were checked.

    Raises:
        ConfigError: see `read_flags`.
        MachineError: the device does not exist, or the run folder cannot be written.
        RecipeError: the recipe's own code failed.
    """
    with recipe_code():
        settings, folder = read_flags(recipe, settings_class, flags)
        _check_name(folder)
        check_start(settings, folder)
        recipe(settings, folder)


def _defaults(recipe: Callable[[Any, Path], None], settings_class: type[C]) -> C:
    source = inspect.getfile(recipe)
    try:
        inspect.signature(recipe).bind(None, None)
    except TypeError as error:
        raise ConfigError(f"{source}: main: {error}", "write main(settings, run)") from None
    try:
        return settings_class()
    except TypeError as error:
        raise ConfigError(f"{source}: {error}", "give every setting a default") from None


def _check_name(run: Path) -> None:
    """Raise ConfigError for a folder name with control characters."""
    if any(unicodedata.category(character) == "Cc" for character in str(run)):
        raise ConfigError(f"--run: {run}: a control character", "name another folder")


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
    keys = dict(leaves(settings.to_dict()))
    init = next(_init_keys(settings), "")
    if init and "init" not in keys:
        parser.add_argument(
            "--init",
            dest=init,
            default=argparse.SUPPRESS,
            metavar="CHECKPOINT",
            help="begin a new run from the weights of a checkpoint or run folder; symbols are "
            f"matched by name (short for --{init})",
        )
    group = parser.add_argument_group("settings")
    for key, default in keys.items():
        shown = "null" if default is None else str(default)
        group.add_argument(
            f"--{key}",
            dest=key,
            default=argparse.SUPPRESS,
            metavar="VALUE",
            help=f"default: {shown}".replace("%", "%%"),
        )
    return parser


def _init_keys(config: Config, head: str = "") -> Iterator[str]:
    """Dotted keys of the `init` of every TrainerConfig in the settings."""
    from speechseq.training.config import TrainerConfig

    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, TrainerConfig):
            yield f"{head}{field.name}.init"
        elif isinstance(value, Config):
            yield from _init_keys(value, f"{head}{field.name}.")


def _check_init(settings: Config, run: Path) -> None:
    """Raise CheckpointError if --init names no checkpoint, before the corpus is prepared."""
    from speechseq.checkpoint.folder import numbered, resolve

    values = dict(leaves(settings.to_dict()))
    named = [values[key] for key in _init_keys(settings) if values[key]]
    if named and not numbered(run / "checkpoints"):
        resolve(named[0])
