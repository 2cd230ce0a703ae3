"""Spelling: splits a text into symbols and joins them again, as characters or words."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from speechseq.errors import ConfigError


@runtime_checkable
class Spelling(Protocol):
    """Protocol of a vocabulary's spelling, which splits texts into symbols and joins them again.

    `Characters`, `Words` and `Pieces` are spellings; a Vocabulary takes one as `spelling`.
    `Vocabulary.encode` calls `split`, and `Vocabulary.decode` calls `text` for each symbol and
    joins the results, which gives the sentence back (with one more space in front if
    `leads_with_space`).
    """

    @property
    def name(self) -> str:
        """Name of the kind of symbols, such as "characters", for messages and files."""

    @property
    def leads_with_space(self) -> bool:
        """Return True if the text of each word begins with a space, the first word included."""

    def check(self, symbols: Sequence[str]) -> None:
        """Raise ConfigError if a vocabulary cannot have these symbols, such as empty ones."""

    def split(self, text: str) -> list[str]:
        """Split a text into symbols, among which may be symbols that the vocabulary lacks."""

    def text(self, symbol: str) -> str:
        """Return the text of a symbol, with a space in front if it begins a word."""

    def to_dict(self) -> dict[str, Any]:
        """Return the entries of a vocabulary's file that name the spelling; {} for characters."""


@dataclasses.dataclass(frozen=True)
class Characters:
    """Spelling by single characters, the space included; the default of a Vocabulary."""

    name = "characters"
    leads_with_space = False

    def check(self, symbols: Sequence[str]) -> None:
        """Raise ConfigError if one of the symbols is not a single character."""
        if wrong := [symbol for symbol in symbols if len(symbol) != 1]:
            raise ConfigError(f"symbols must be single characters, not {wrong!r}")

    def split(self, text: str) -> list[str]:
        """Split a text into its characters."""
        return list(text)

    def text(self, symbol: str) -> str:
        """Return the text of a symbol: the character itself."""
        return symbol

    def to_dict(self) -> dict[str, Any]:
        """Return {}: a vocabulary's file that does not name a spelling has characters."""
        return {}


@dataclasses.dataclass(frozen=True)
class Words:
    """Spelling by whole words, which are separated by white space; see `Vocabulary.words`."""

    name = "words"
    leads_with_space = True

    def check(self, symbols: Sequence[str]) -> None:
        """Raise ConfigError if one of the symbols is empty or has white space."""
        if wrong := [symbol for symbol in symbols if symbol.split() != [symbol]]:
            raise ConfigError(f"words must not be empty nor hold white space: {wrong!r}")

    def split(self, text: str) -> list[str]:
        """Split a text into its words."""
        return text.split()

    def text(self, symbol: str) -> str:
        """Return the text of a symbol: a space, then the word."""
        return " " + symbol

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of a vocabulary's file, {"units": "words"}."""
        return {"units": "words"}
