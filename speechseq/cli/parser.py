"""argparse that raises ConfigError, names the nearest flag, and never guesses at abbreviations."""

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from speechseq.config import nearest
from speechseq.errors import ConfigError


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ConfigErrors.

    `checked` is unset where flags of another parser may follow.
    """

    checked = True

    def __init__(self, prog: str | None = None, description: str = "", help: str = "") -> None:
        super().__init__(
            prog=prog,
            description=description or help,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Raise instead of leaving the process."""
        if wrong := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
            problem = f"{self.prog}: {message[: wrong.start()]}unknown {wrong[1]!r}"
            raise ConfigError(problem, nearest(wrong[1], re.findall(r"[\w-]+", wrong[2])))
        raise ConfigError(f"{self.prog}: {message}", f"see {self.prog} --help")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str], namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, and refuse unknown flags before argparse complains of what is missing."""
        known = self._option_string_actions
        for word in args if self.checked else ():
            flag = word.partition("=")[0]
            if flag.startswith("--") and flag not in known:
                valid = [name for name in known if name.startswith("--")]
                raise ConfigError(f"{self.prog}: unknown flag {flag}", nearest(flag, valid))
        return super().parse_known_args(args, namespace)
