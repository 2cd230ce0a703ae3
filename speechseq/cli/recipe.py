"""Flags of a recipe: --run, --config and one for every number of its settings."""

import argparse
import dataclasses
import inspect
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

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
    """Make a recipe's settings and run folder of its flags.

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
            plain = isinstance(default, str) or isinstance(text, list)  # --freeze takes words
            value = text if plain else parse(text, f"--{key}")
            data = merge(data, nested(key, value))
    # all flags at once: two numbers may be valid only together
    settings = overlay(settings, data, "flags")
    _check_init(settings, arguments["run"])
    return settings, arguments["run"]


def run(
    recipe: Callable[[Any, Path], None], settings_class: type[Config], flags: list[str]
) -> None:
    """Run a recipe with the settings of its flags, after device and folders were checked.

    Args:
        recipe: the recipe's function `main`, called with settings and run folder.
        settings_class: Config class of the recipe's settings.
        flags: words of the command line.

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
    _add_shortcuts(parser, settings, keys)
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


def _add_shortcuts(parser: Parser, settings: Config, keys: dict[str, Any]) -> None:
    """Add --init and --freeze, short for settings of the recipe's trainer."""
    trainer = next(_trainers(settings), None)
    if trainer is not None and "init" not in keys:
        parser.add_argument(
            "--init",
            dest=f"{trainer.key}.init",
            default=argparse.SUPPRESS,
            metavar="CHECKPOINT",
            help="begin a new run from the weights of a checkpoint or run folder; symbols are "
            f"matched by name (short for --{trainer.key}.init)",
        )
    if trainer is not None and "freeze" not in keys:
        parser.add_argument(
            "--freeze",
            dest=f"{trainer.key}.freeze",
            default=argparse.SUPPRESS,
            nargs="+",
            metavar="PART",
            help="keep parts of the model as they are, such as encoder or decoder.core.attention "
            f"(short for --{trainer.key}.freeze)",
        )


class _Trainer(NamedTuple):
    """TrainerConfig in the settings of a recipe, its dotted key, and the settings around it."""

    key: str
    config: Any
    around: Config


def _trainers(config: Config, head: str = "") -> Iterator[_Trainer]:
    from speechseq.training.config import TrainerConfig

    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, TrainerConfig):
            yield _Trainer(f"{head}{field.name}", value, config)
        elif isinstance(value, Config):
            yield from _trainers(value, f"{head}{field.name}.")


def _check_init(settings: Config, run: Path) -> None:
    """Raise CheckpointError if --init cannot be used, before the corpus is prepared."""
    from speechseq.checkpoint.folder import numbered, resolve
    from speechseq.training.init_check import check_warm_start

    for trainer in _trainers(settings):
        if not (init := trainer.config.init) or numbered(run / "checkpoints"):
            continue
        trained = getattr(trainer.around, "trained_model", None)
        model = trained() if trained else getattr(trainer.around, "model", None)
        if isinstance(model, Config):
            check_warm_start(init, model, getattr(trainer.around, "audio", None))
        else:
            resolve(init)
