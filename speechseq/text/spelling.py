"""Spelling: how a text is cut into symbols and put together again, in characters or in words."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from speechseq.errors import ConfigError


@runtime_checkable
class Spelling(Protocol):
    """What a vocabulary asks of its symbols.

    `split` undoes `text`: the texts of all symbols of a sentence, side by side, are the sentence,
    behind one space where every word brings its own.
    """

    @property
    def name(self) -> str:
        """What the symbols are, for people and files."""

    @property
    def leads_with_space(self) -> bool:
        """Whether words bring the space before them, the first one too."""

    def check(self, symbols: Sequence[str]) -> None:
        """Raise ConfigError when these cannot be the symbols."""

    def split(self, text: str) -> list[str]:
        """The symbols of a text, unknown ones too, each as it stands there."""

    def text(self, symbol: str) -> str:
        """What a symbol adds to a text."""

    def to_dict(self) -> dict[str, Any]:
        """What a vocabulary's file must say of it; nothing of characters."""


@dataclasses.dataclass(frozen=True)
class Characters:
    """Every character is a symbol, the space too."""

    name = "characters"
    leads_with_space = False

    def check(self, symbols: Sequence[str]) -> None:
        """Raise ConfigError for a symbol that is not one character."""
        if wrong := [symbol for symbol in symbols if len(symbol) != 1]:
            raise ConfigError(f"symbols must be single characters, not {wrong!r}")

    def split(self, text: str) -> list[str]:
        """Its characters."""
        return list(text)

    def text(self, symbol: str) -> str:
        """Itself."""
        return symbol

    def to_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}


@dataclasses.dataclass(frozen=True)
class Words:
    """Every word is a symbol; white space divides them and is one space when put together."""

    name = "words"
    leads_with_space = True

    def check(self, symbols: Sequence[str]) -> None:
        """Raise ConfigError for a symbol with white space in it, or without a character."""
        if wrong := [symbol for symbol in symbols if symbol.split() != [symbol]]:
            raise ConfigError(f"words must not be empty nor hold white space: {wrong!r}")

    def split(self, text: str) -> list[str]:
        """Its words."""
        return text.split()

    def text(self, symbol: str) -> str:
        """The word behind a space."""
        return " " + symbol

    def to_dict(self) -> dict[str, Any]:
        """The name of the units."""
        return {"units": "words"}
