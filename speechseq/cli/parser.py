"""Argument parser that raises ConfigError, suggests the nearest flag and takes no abbreviations."""

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

from speechseq.config import nearest
from speechseq.errors import ConfigError
from speechseq.ranges import shown

_NEGATIVE = re.compile(r"-(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$|-inf$")
_FEW = 20  # most flags that one message lists


class Parser(argparse.ArgumentParser):
    """Argument parser of the commands; it raises ConfigErrors instead of exiting.

    After "--" no word is taken as a flag.

    Attributes:
        checked: True to report unknown flags; False for a parser that passes the rest of its
            arguments to another parser.
        free: flags that accept any word as their value, even one that begins with a dash, unless
            the word is itself a flag.
    """

    checked = True
    free: frozenset[str] = frozenset()

    def __init__(self, prog: str | None = None, description: str = "", help: str = "") -> None:
        super().__init__(
            prog=prog,
            description=description or help,
            allow_abbrev=False,
            formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=44),
        )
        self._negative_number_matcher = _NEGATIVE  # argparse's own pattern takes -1e-3 for a flag

    def print_help(self, file: Any = None) -> None:
        """Print the help and flush the stream, so that a broken pipe raises its error here."""
        print(self.format_help(), end="", file=file, flush=True)

    def error(self, message: str) -> NoReturn:
        """Raise a ConfigError with argparse's message, where argparse would print it and exit."""
        if wrong := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
            problem = f"{self.prog}: {message[: wrong.start()]}unknown {wrong[1]!r}"
            raise ConfigError(problem, nearest(wrong[1], re.findall(r"[\w-]+", wrong[2])))
        raise ConfigError(f"{self.prog}: {message}", f"see {self.prog} --help")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str], namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse `args` as argparse does, but report an unknown flag before missing arguments.

        Args:
            args: words of the command line.
            namespace: object that gets the values; None makes a new one.

        Returns:
            The namespace, and surplus words: those that are neither flags nor their values.

        Raises:
            ConfigError: a flag is unknown (the message names the nearest), or a word has a NUL
                character.
        """
        if nul := [word for word in args if "\0" in word]:
            raise ConfigError(f"{self.prog}: {shown(nul[0])} holds a NUL character", "leave it out")
        known = self._option_string_actions
        args = self._joined(args)
        flags = args[: args.index("--")] if "--" in args else args
        for word in flags if self.checked else ():
            flag = word.partition("=")[0]
            if flag.startswith("--") and flag not in known:
                valid = [name for name in known if name.startswith("--")]
                problem = f"{self.prog}: unknown flag {flag}"
                raise ConfigError(problem, nearest(flag, _like(flag, valid)))
        return super().parse_known_args(args, namespace)

    def _joined(self, args: Sequence[str] | None) -> list[str]:
        """The arguments, with each flag in `free` joined to its value: "--text=-5 degrees"."""
        left = list(sys.argv[1:] if args is None else args)
        joined: list[str] = []
        if not self.checked and left[:1] == ["--"]:  # before the command
            del left[0]
        while left:
            word = left.pop(0)
            if word == "--":
                return [*joined, word, *left]
            value = left[0].partition("=")[0] if left else "--"
            if word in self.free and value != "--" and value not in self._option_string_actions:
                word = f"{word}={left.pop(0)}"
            joined.append(word)
        return joined


def _like(flag: str, valid: list[str]) -> list[str]:
    """Flags to suggest: all if few, otherwise those similar in section, name or spelling."""
    if len(valid) <= _FEW:
        return valid
    section, _, name = flag.lstrip("-").rpartition(".")
    pairs = [(whole, whole.lstrip("-").rpartition(".")) for whole in valid]
    near = [whole for whole, (head, _, tail) in pairs if head == section or tail == name]
    return sorted({*near, *difflib.get_close_matches(flag, valid, n=3)})
