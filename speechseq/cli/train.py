"""`speechseq train RECIPE.py`: loads a recipe file and runs it."""

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from speechseq import files
from speechseq.cli import recipe
from speechseq.cli.recipe_faults import recipe_code
from speechseq.config import Config, nearest
from speechseq.errors import ConfigError

_RECIPE = files.Kind(
    name="a recipe", limit=1 << 20, error=ConfigError, cure="name a file such as recipes/tts/….py"
)
_HELP = "run a recipe: train a model and see what it learned"


def add(commands: Any) -> None:
    """Add the command `speechseq train RECIPE.py` to `commands`, the subparsers of argparse."""
    parser = commands.add_parser("train", help=_HELP)
    parser.add_argument("recipe", type=Path, metavar="RECIPE.py", help="the recipe's file")
    parser.add_argument(
        "flags",
        nargs=argparse.REMAINDER,
        metavar="...",
        help="its own flags: --run DIR, --config FILE.yaml, --any.number VALUE; "
        "`speechseq train RECIPE.py --help` lists them",
    )
    parser.checked = False
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the recipe's `main(settings, run)`.

    `arguments` are the parsed flags of the command: the recipe's file, and its own flags.
    """
    with recipe_code():
        module = load_recipe(arguments.recipe)
    recipe.run(module.main, module.Settings, arguments.flags)


def load_recipe(path: Path) -> ModuleType:
    """Load a recipe, a Python file, and return its module, which has `main` and `Settings`.

    Raises:
        ConfigError: the file does not exist or is not a recipe.
    """
    if not path.is_file():
        others = [found.name for found in path.parent.glob("*.py")] if path.parent.is_dir() else []
        cure = nearest(path.name, others) if others else "name a file such as recipes/tts/….py"
        raise ConfigError(f"{path}: no such recipe", cure)
    files.read_text(path, _RECIPE)  # raises ConfigError for unreadable or large files
    name = f"recipe_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: not a Python file", "name a recipe, e.g. recipes/tts/….py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and workers look up their module by name
    spec.loader.exec_module(module)
    settings = getattr(module, "Settings", None)
    if not callable(getattr(module, "main", None)) or not _is_config(settings):
        raise ConfigError(
            f"{path}: no recipe: it needs a Config called Settings and main(settings, run)",
            "see recipes/README.md",
        )
    return module


def _is_config(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, Config)
