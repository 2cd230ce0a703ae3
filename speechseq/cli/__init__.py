"""The command line `speechseq COMMAND`, and the entry point of recipes.

It imports only the modules that parsing needs, so that --help is fast.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from speechseq.cli import doctor, info, prepare, score, synthesize, train, transcribe
from speechseq.cli.guard import guarded
from speechseq.cli.parser import Parser
from speechseq.cli.recipe import run
from speechseq.config import Config


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command `speechseq` and return its exit code.

    Args:
        argv: words after the command's name; None takes those of the process.

    Returns:
        0 for success; 2 for an error in usage, configuration or recipe, 3 in data, 4 in a
        checkpoint, 5 of the machine; 128 + n after signal n: 130 Ctrl-C, 143 SIGTERM, 129
        SIGHUP, 138 SIGUSR1.
    """
    return guarded(lambda: _run(sys.argv[1:] if argv is None else list(argv)))


def run_recipe(
    recipe: Callable[[Any, Path], None],
    settings_class: type[Config],
    argv: Sequence[str] | None = None,
) -> int:
    """Run a recipe's `main(settings, run)` with settings from YAML files and flags.

    The last line of a recipe is `sys.exit(run_recipe(main, Settings))`.

    Args:
        recipe: the recipe's function `main`.
        settings_class: Config class of the recipe's settings.
        argv: flags; None takes those of the command line.

    Returns:
        The exit code, see `main`.
    """
    flags = sys.argv[1:] if argv is None else list(argv)
    return guarded(lambda: run(recipe, settings_class, flags))


def command_parser() -> Parser:
    """Build the parser of `speechseq` and all its commands; docs/cli.md is generated from it."""
    parser = Parser(
        prog="speechseq", description="Text to speech and speech to text, from corpus to model."
    )
    parser.checked = False
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (prepare, train, doctor, synthesize, transcribe, score, info):
        command.add(commands)
    return parser


def _run(argv: list[str]) -> None:
    arguments = command_parser().parse_args(argv)
    arguments.run(arguments)
