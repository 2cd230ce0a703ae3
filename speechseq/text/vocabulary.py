"""Vocabulary: the symbols a model reads or writes, and their integer ids."""

import dataclasses
import os
import string
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from speechseq.errors import CheckpointError, ConfigError, DataError
from speechseq.text.alphabet import PUNCTUATION
from speechseq.text.atomic_json import read_json, write_json
from speechseq.text.phonemes import SYMBOLS as IPA_SYMBOLS
from speechseq.text.phonemes import phonemize

CONTROLS = ("<pad>", "<eos>")
TRANSCRIPT_CONTROLS = (*CONTROLS, "<sos>", "<blank>")
PAD, EOS, SOS, BLANK = range(4)  # the ids of these controls in every vocabulary that has them
CHARACTERS = string.ascii_lowercase + " " + PUNCTUATION


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Symbols, each one character, and their ids; it travels inside the checkpoint.

    The controls come first and own the ids 0, 1, …: pad is always 0 and eos always 1. Their names
    are labels that no text is compared with, so "<eos>" in a text is five characters. A recogniser
    that needs sos or blank appends them to `controls`; the symbols' ids then start after them.

    Attributes:
        symbols: the characters with an id, in the order of their ids.
        controls: names of the control ids.
        fold_case: read "A" as "a" where only "a" has an id.
        end: `encode` closes with the eos id.
        voice: the espeak voice that turns text to phonemes before it is encoded; "" for characters.

    Raises:
        ConfigError: a symbol is longer than one character or comes twice, or a control is missing.
    """

    symbols: tuple[str, ...]
    controls: tuple[str, ...] = CONTROLS
    fold_case: bool = False
    end: bool = True
    voice: str = ""

    def __post_init__(self) -> None:
        if wrong := [symbol for symbol in self.symbols if len(symbol) != 1]:
            raise ConfigError(f"vocabulary: symbols must be single characters, not {wrong!r}")
        for name, values in (("symbols", self.symbols), ("controls", self.controls)):
            if twice := [value for value, count in Counter(values).items() if count > 1]:
                raise ConfigError(f"vocabulary: {name} hold {twice!r} more than once")
        if not self.symbols:
            raise ConfigError("vocabulary: there are no symbols", "name at least one")
        if self.controls[:2] != CONTROLS:
            raise ConfigError(
                f"vocabulary: controls {self.controls!r} must begin with <pad>, <eos>",
                "append further controls after these two",
            )

    @classmethod
    def characters(cls, symbols: Iterable[str] = CHARACTERS, *, end: bool = True) -> "Vocabulary":
        """Characters; case is folded unless a symbol is itself an upper-case letter."""
        kept = tuple(symbols)
        return cls(symbols=kept, fold_case=all(s == s.lower() for s in kept), end=end)

    @classmethod
    def transcripts(cls, symbols: Iterable[str]) -> "Vocabulary":
        """Characters that a recogniser writes: with sos, eos and blank, each an id of its own."""
        kept = tuple(symbols)
        fold = all(s == s.lower() for s in kept)
        return cls(symbols=kept, controls=TRANSCRIPT_CONTROLS, fold_case=fold)

    @classmethod
    def phonemes(
        cls, symbols: Iterable[str] = IPA_SYMBOLS, *, voice: str = "en-us", end: bool = True
    ) -> "Vocabulary":
        """IPA symbols of espeak's voices; `encode` phonemizes its text (extra `espeak`)."""
        return cls(symbols=tuple(symbols), end=end, voice=voice)

    @property
    def pad_id(self) -> int:
        """The id of padding, 0."""
        return PAD

    @property
    def eos_id(self) -> int:
        """The id that closes a text, 1."""
        return EOS

    def __len__(self) -> int:
        return len(self.controls) + len(self.symbols)

    def units(self, text: str) -> str:
        """The symbols of a text as one string: phonemes, or its characters with case folded.

        Raises:
            MachineError: phonemes are asked for and espeak is missing.
        """
        if self.voice:
            return phonemize(text, self.voice)
        return "".join(map(self._folded, text)) if self.fold_case else text

    def encode(self, text: str) -> list[int]:
        """Ids of a (normalised) text, closed with eos when `end` is set.

        Raises:
            DataError: the text holds unknown symbols; each is listed with its count.
            MachineError: phonemes are asked for and espeak is missing.
        """
        units = self.units(text)
        if unknown := self._unknown(units):
            listed = ", ".join(f"{s!r} (U+{ord(s):04X}) × {n}" for s, n in unknown.items())
            raise DataError(
                f"unknown symbols in the text {_short(text)}: {listed}",
                "pass it through speechseq.text.normalize.normalize first, "
                "or build the vocabulary with these symbols",
            )
        return [self._ids[unit] for unit in units] + [self.eos_id] * self.end

    def decode(self, ids: Iterable[int]) -> str:
        """The symbols of ids as a string; control ids are left out.

        Raises:
            DataError: an id lies outside the vocabulary.
        """
        numbers = [int(i) for i in ids]
        if wrong := sorted({i for i in numbers if not 0 <= i < len(self)}):
            raise DataError(f"ids {wrong} lie outside a vocabulary of {len(self)} entries")
        first = len(self.controls)
        return "".join(self.symbols[i - first] for i in numbers if i >= first)

    def unknown(self, text: str) -> dict[str, int]:
        """Symbols of the text that have no id, and how often each occurs."""
        return self._unknown(self.units(text))

    def to_dict(self) -> dict[str, Any]:
        """Plain data; `from_dict` turns it back into an equal vocabulary."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return fields | {"symbols": list(self.symbols), "controls": list(self.controls)}

    @classmethod
    def from_dict(cls, data: Any, *, where: str = "vocabulary") -> "Vocabulary":
        """Build from what `to_dict` gave, strictly: every key, and no other.

        Raises:
            CheckpointError: a missing or unknown key, a wrong type, symbols that make no sense.
        """
        types = {"symbols": list, "controls": list, "fold_case": bool, "end": bool, "voice": str}
        if not isinstance(data, Mapping) or set(data) != set(types):
            found = sorted(map(str, data)) if isinstance(data, Mapping) else type(data).__name__
            raise CheckpointError(f"{where}: expected the keys {sorted(types)}, got {found}", _CURE)
        for key, kind in types.items():
            value = data[key]
            listed = kind is not list or all(isinstance(item, str) for item in value)
            if type(value) is not kind or not listed:
                raise CheckpointError(f"{where}: {key} has the wrong type: {_short(value)}", _CURE)
        try:
            tuples = {key: tuple(data[key]) for key in ("symbols", "controls")}
            return cls(**{**data, **tuples})
        except ConfigError as error:
            raise CheckpointError(f"{where}: {error.problem}", _CURE) from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file, whole or not at all.

        Raises:
            MachineError: the file cannot be written.
        """
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Vocabulary":
        """Read what `save` wrote.

        Raises:
            CheckpointError: the file is missing, cut, or holds something else.
        """
        return cls.from_dict(read_json(path, _CURE), where=os.fspath(path))

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {symbol: i for i, symbol in enumerate(self.symbols, start=len(self.controls))}

    def _folded(self, character: str) -> str:
        lower = character.lower()
        return lower if character not in self._ids and lower in self._ids else character

    def _unknown(self, units: str) -> dict[str, int]:
        return {unit: n for unit, n in Counter(units).items() if unit not in self._ids}


_CURE = "copy the vocabulary again from the run that trained the model, or train anew"


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
