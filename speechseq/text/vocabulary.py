"""Vocabulary: the symbols a model reads or writes, and their integer ids."""

import dataclasses
import os
import string
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Literal

from speechseq.errors import CheckpointError, ConfigError, DataError
from speechseq.text.alphabet import PUNCTUATION
from speechseq.text.atomic_json import read_json, write_json
from speechseq.text.letter_case import fold_case
from speechseq.text.normalizers import checked, normalizer, suited
from speechseq.text.phonemes import SYMBOLS as IPA_SYMBOLS
from speechseq.text.phonemes import phonemize
from speechseq.text.pieces import Pieces, train
from speechseq.text.spelling import Characters, Spelling, Words
from speechseq.text.vocabulary_data import read, short

CONTROLS = ("<pad>", "<eos>")
TRANSCRIPT_CONTROLS = (*CONTROLS, "<sos>", "<blank>")
PAD, EOS, SOS, BLANK = range(4)  # the ids of these controls in every vocabulary that has them
CHARACTERS = string.ascii_lowercase + " " + PUNCTUATION


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Symbols and their ids: characters, words or pieces of words; it travels in the checkpoint.

    The controls come first and own the ids 0, 1, …: pad is always 0 and eos always 1. Their names
    are labels that no text is compared with, so "<eos>" in a text is five characters. A recogniser
    that needs sos or blank appends them to `controls`; the symbols' ids then start after them.

    Attributes:
        symbols: what has an id, in the order of the ids.
        controls: names of the control ids.
        fold_case: read "A" as "a" where only "a" has an id.
        end: `encode` closes with the eos id.
        voice: the espeak voice that turns text to phonemes before it is encoded; "" for none.
        spelling: how a text is cut into symbols.
        normalizer: name of what `normalize` does to a text before it is encoded, in training and
            in use: "english" (numbers and abbreviations to words, all in ASCII), "unicode" (the
            same words in the symbols of the vocabulary) or "none". "" chooses "english" for an
            English voice and for symbols whose letters are all ASCII, "unicode" for all others.

    Raises:
        ConfigError: a symbol comes twice or is none of its spelling, a control is missing, or
            there is no such normalizer.
    """

    symbols: tuple[str, ...]
    controls: tuple[str, ...] = CONTROLS
    fold_case: bool = False
    end: bool = True
    voice: str = ""
    spelling: Spelling = Characters()
    normalizer: str = ""

    def __post_init__(self) -> None:
        try:
            self.spelling.check(self.symbols)
        except ConfigError as error:
            raise ConfigError(f"vocabulary: {error.problem}", error.cure) from None
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
        chosen = checked(self.normalizer or suited(self.symbols, self.voice))
        object.__setattr__(self, "normalizer", chosen)

    @classmethod
    def characters(
        cls, symbols: Iterable[str] = CHARACTERS, *, end: bool = True, normalizer: str = ""
    ) -> "Vocabulary":
        """Characters; case is folded unless a symbol is itself an upper-case letter."""
        kept = tuple(symbols)
        fold = all(s == s.lower() for s in kept)
        return cls(symbols=kept, fold_case=fold, end=end, normalizer=normalizer)

    @classmethod
    def transcripts(cls, symbols: Iterable[str]) -> "Vocabulary":
        """Characters that a recogniser writes: with sos, eos and blank, each an id of its own."""
        return cls._for_transcripts(symbols, Characters())

    @classmethod
    def words(cls, words: Iterable[str]) -> "Vocabulary":
        """Words that a recogniser writes, and no others; texts are divided at white space."""
        return cls._for_transcripts(words, Words())

    @classmethod
    def pieces(cls, model: bytes) -> "Vocabulary":
        """Pieces of words that a recogniser writes, from the bytes of a sentencepiece model.

        Raises:
            ConfigError: the bytes are no such model.
        """
        pieces = Pieces(model)
        return cls._for_transcripts(pieces.symbols, pieces)

    @classmethod
    def train_pieces(
        cls, texts: Iterable[str], size: int, *, kind: Literal["unigram", "bpe"] = "unigram"
    ) -> "Vocabulary":
        """Learn `size` pieces from texts; every one of their characters can then be written.

        Raises:
            ConfigError: a size that the texts cannot fill, or that cannot hold their characters.
        """
        pieces = train(texts, size, kind)
        return cls._for_transcripts(pieces.symbols, pieces)

    @classmethod
    def _for_transcripts(cls, symbols: Iterable[str], spelling: Spelling) -> "Vocabulary":
        kept = tuple(symbols)
        fold = all(s == s.lower() for s in kept)
        return cls(symbols=kept, controls=TRANSCRIPT_CONTROLS, fold_case=fold, spelling=spelling)

    @classmethod
    def phonemes(
        cls,
        symbols: Iterable[str] = IPA_SYMBOLS,
        *,
        voice: str = "en-us",
        end: bool = True,
        normalizer: str = "",
    ) -> "Vocabulary":
        """IPA symbols of espeak's voices; `encode` phonemizes its text (extra `espeak`)."""
        return cls(symbols=tuple(symbols), end=end, voice=voice, normalizer=normalizer)

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

    def normalize(self, text: str) -> str:
        """The reading of a text that `encode` takes, in training and in use."""
        return self._normalizer(text)

    def units(self, text: str) -> list[str]:
        """The symbols of a text: of its phonemes, or of its characters with case folded.

        Raises:
            MachineError: phonemes are asked for and espeak is missing.
        """
        if self.voice:
            return self.spelling.split(phonemize(text, self.voice))
        return self.spelling.split(fold_case(text, self._alphabet) if self.fold_case else text)

    def encode(self, text: str) -> list[int]:
        """Ids of a (normalised) text, closed with eos when `end` is set.

        Raises:
            DataError: the text holds unknown symbols; each is listed with its count.
            MachineError: phonemes are asked for and espeak is missing.
        """
        units = self.units(text)
        if unknown := self._unknown(units):
            listed = ", ".join(f"{_named(s)} × {n}" for s, n in unknown.items())
            raise DataError(
                f"unknown symbols in the text {short(text)}: {listed}",
                "write them in the symbols of the vocabulary, numbers as words (its normalize "
                "does what can be done), or build the vocabulary with these symbols",
            )
        return [self._ids[unit] for unit in units] + [self.eos_id] * self.end

    def decode(self, ids: Iterable[int]) -> str:
        """The text that ids spell; control ids are left out.

        Raises:
            DataError: an id lies outside the vocabulary.
        """
        text = "".join(self.texts(ids))
        return text.removeprefix(" ") if self.spelling.leads_with_space else text

    def texts(self, ids: Iterable[int]) -> list[str]:
        """What each id adds to the text, "" for controls; a word's first piece leads with a space.

        Raises:
            DataError: an id lies outside the vocabulary.
        """
        numbers = [int(i) for i in ids]
        if wrong := sorted({i for i in numbers if not 0 <= i < len(self)}):
            raise DataError(f"ids {wrong} lie outside a vocabulary of {len(self)} entries")
        first = len(self.controls)
        return ["" if i < first else self.spelling.text(self.symbols[i - first]) for i in numbers]

    def word_spans(self, ids: Iterable[int]) -> list[tuple[str, int, int]]:
        """The words that ids spell, each with the places of its first and last id.

        A character between two words belongs to neither; controls belong to none.

        Raises:
            DataError: an id lies outside the vocabulary.
        """
        spans: list[tuple[str, int, int]] = []
        inside = False
        for place, text in enumerate(self.texts(ids)):
            for character in text:
                if character.isspace():
                    inside = False
                elif inside:
                    word, first, _ = spans[-1]
                    spans[-1] = (word + character, first, place)
                else:
                    spans.append((character, place, place))
                    inside = True
        return spans

    def unknown(self, text: str) -> dict[str, int]:
        """Symbols of the text that have no id, and how often each occurs."""
        return self._unknown(self.units(text))

    def to_dict(self) -> dict[str, Any]:
        """Plain data; `from_dict` turns it back into an equal vocabulary.

        The normalizer is left out where it is English by choice and by default: older programs
        know no such key, and read English.
        """
        older = self.normalizer == suited(self.symbols, self.voice) == "english"
        return {
            "symbols": list(self.symbols),
            "controls": list(self.controls),
            "fold_case": self.fold_case,
            "end": self.end,
            "voice": self.voice,
            **({} if older else {"normalizer": self.normalizer}),
        } | self.spelling.to_dict()

    @classmethod
    def from_dict(cls, data: Any, *, where: str = "vocabulary") -> "Vocabulary":
        """Build from what `to_dict` gave, strictly: every key, and no other.

        Without the key "normalizer", as in older files, the symbols and the voice choose it.

        Raises:
            CheckpointError: a missing or unknown key, a wrong type, symbols that make no sense.
        """
        try:
            values, spelling = read(data)
            tuples = {key: tuple(values[key]) for key in ("symbols", "controls")}
            return cls(**{**values, **tuples}, spelling=spelling)
        except ConfigError as error:
            problem = error.problem.removeprefix("vocabulary: ")
            raise CheckpointError(f"{where}: {problem}", _CURE) from None

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

    @cached_property
    def _alphabet(self) -> frozenset[str]:
        return frozenset("".join(self.symbols))

    @cached_property
    def _normalizer(self) -> Callable[[str], str]:
        known = frozenset(PUNCTUATION) & self._alphabet if self.voice else self._alphabet
        return normalizer(self.normalizer, known, fold=self.fold_case, voice=self.voice)

    def _unknown(self, units: list[str]) -> dict[str, int]:
        return {unit: n for unit, n in Counter(units).items() if unit not in self._ids}


_CURE = "copy the vocabulary again from the run that trained the model, or train anew"


def _named(symbol: str) -> str:
    return f"{symbol!r} (U+{ord(symbol):04X})" if len(symbol) == 1 else repr(symbol)
