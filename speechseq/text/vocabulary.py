"""Vocabulary: the symbols that a model reads or writes, and their integer ids."""

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
from speechseq.text.vocabulary_data import CURE, named, read, short
from speechseq.text.word_spans import word_spans

CONTROLS = ("<pad>", "<eos>")
TRANSCRIPT_CONTROLS = (*CONTROLS, "<sos>", "<blank>")
PAD, EOS, SOS, BLANK = range(4)  # ids of these controls in every vocabulary that has them
CHARACTERS = string.ascii_lowercase + " " + PUNCTUATION


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Symbols (characters, words or pieces of words) and their ids, stored in checkpoints.

    The first ids belong to control symbols: pad is always 0 and eos always 1; recognisers add sos
    and blank. The ids of the symbols follow. Texts are never compared with the names of controls,
    so "<eos>" in a text is five characters.

    Attributes:
        symbols: the symbols, in the order of their ids.
        controls: names of the control ids.
        fold_case: read "A" as "a" if only "a" has an id.
        end: True if `encode` appends the eos id.
        voice: espeak voice that converts text to phonemes before encoding; "" for none.
        spelling: splits texts into symbols.
        normalizer: normaliser of texts before encoding, in training and inference: "english"
            (numbers and abbreviations to words, all in ASCII), "unicode" (the same words in the
            symbols of the vocabulary) or "none". "" chooses "english" for an English voice and for
            symbols whose letters are all ASCII, "unicode" for all others.

    Raises:
        ConfigError: a symbol is repeated or not valid for the spelling, a control is missing, or
            the normalizer is unknown.

    Examples:
        >>> Vocabulary.characters("abc ").encode("A cab")
        [2, 5, 4, 2, 3, 1]
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
        """Make a vocabulary of characters; it folds case unless one of them is a capital.

        Args:
            symbols: the characters, by default a–z, space and punctuation.
            end: True if `encode` appends the eos id.
            normalizer: "english", "unicode" or "none", the normaliser of texts (see the class); ""
                chooses by the symbols.
        """
        kept = tuple(symbols)
        fold = all(s == s.lower() for s in kept)
        return cls(symbols=kept, fold_case=fold, end=end, normalizer=normalizer)

    @classmethod
    def transcripts(cls, symbols: Iterable[str]) -> "Vocabulary":
        """Make a recogniser's vocabulary of characters; its controls are pad, eos, sos, blank."""
        return cls._for_transcripts(symbols, Characters())

    @classmethod
    def words(cls, words: Iterable[str]) -> "Vocabulary":
        """Make a closed vocabulary of words for a recogniser; texts are split at white space."""
        return cls._for_transcripts(words, Words())

    @classmethod
    def pieces(cls, model: bytes) -> "Vocabulary":
        """Make a vocabulary of subword pieces for a recogniser, from a sentencepiece model's bytes.

        Raises:
            ConfigError: the bytes are not a sentencepiece model.
        """
        pieces = Pieces(model)
        return cls._for_transcripts(pieces.symbols, pieces)

    @classmethod
    def train_pieces(
        cls, texts: Iterable[str], size: int, *, kind: Literal["unigram", "bpe"] = "unigram"
    ) -> "Vocabulary":
        """Learn `size` subword pieces, "unigram" or "bpe", which cover all characters of texts.

        Raises:
            ConfigError: `size` is too large or too small for the texts.
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
        """Make a vocabulary of IPA symbols: `encode` converts texts to phonemes by espeak.

        Args:
            symbols: the IPA symbols and punctuation, by default those of all of espeak's languages.
            voice: espeak voice that pronounces the texts, such as "en-us".
            end: True if `encode` appends the eos id.
            normalizer: "english", "unicode" or "none"; "" chooses "english" for an English voice.
        """
        return cls(symbols=tuple(symbols), end=end, voice=voice, normalizer=normalizer)

    @property
    def pad_id(self) -> int:
        """Id of padding, 0."""
        return PAD

    @property
    def eos_id(self) -> int:
        """Id of the end of a text, 1."""
        return EOS

    def __len__(self) -> int:
        return len(self.controls) + len(self.symbols)

    def normalize(self, text: str) -> str:
        """Normalise a text with the vocabulary's normaliser; call it before `encode`."""
        return self._normalizer(text)

    def units(self, text: str) -> list[str]:
        """Split a text, or its phonemes if there is a `voice`, into symbols, as `encode` does.

        Raises:
            MachineError: the vocabulary has a voice and espeak is missing.
        """
        if self.voice:
            return self.spelling.split(phonemize(text, self.voice))
        return self.spelling.split(fold_case(text, self._alphabet) if self.fold_case else text)

    def encode(self, text: str) -> list[int]:
        """Encode a normalised text as ids, with eos appended if `end` is True.

        Raises:
            DataError: the text has unknown symbols; the message lists each with its count.
            MachineError: the vocabulary has a voice and espeak is missing.
        """
        units = self.units(text)
        if unknown := self._unknown(units):
            listed = ", ".join(f"{named(s)} × {n}" for s, n in unknown.items())
            raise DataError(
                f"unknown symbols in the text {short(text)}: {listed}",
                "write them in the symbols of the vocabulary, numbers as words (its normalize "
                "does what can be done), or build the vocabulary with these symbols",
            )
        return [self._ids[unit] for unit in units] + [self.eos_id] * self.end

    def decode(self, ids: Iterable[int]) -> str:
        """Decode ids to text, without control ids.

        Raises:
            DataError: an id is outside the vocabulary.
        """
        text = "".join(self.texts(ids))
        return text.removeprefix(" ") if self.spelling.leads_with_space else text

    def texts(self, ids: Iterable[int]) -> list[str]:
        """Return the text of each id, "" for controls; a word's first piece begins with a space.

        Raises:
            DataError: an id is outside the vocabulary.
        """
        numbers = [int(i) for i in ids]
        if wrong := sorted({i for i in numbers if not 0 <= i < len(self)}):
            raise DataError(f"ids {wrong} lie outside a vocabulary of {len(self)} entries")
        first = len(self.controls)
        return ["" if i < first else self.spelling.text(self.symbols[i - first]) for i in numbers]

    def word_spans(self, ids: Iterable[int]) -> list[tuple[str, int, int]]:
        """Return the words of the decoded ids, each with the positions of its first and last id.

        Separators between words and controls belong to no word.

        Raises:
            DataError: an id is outside the vocabulary.
        """
        return word_spans(self.texts(ids))

    def unknown(self, text: str) -> dict[str, int]:
        """Return the symbols of a text that have no id, each with its count in the text."""
        return self._unknown(self.units(text))

    def to_dict(self) -> dict[str, Any]:
        """Convert to a dict of plain data, such as JSON holds; `from_dict` is the inverse.

        The key "normalizer" is omitted if it is "english" by default, for older versions.
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
        """Build from the output of `to_dict`; all keys are required, and no others allowed.

        Without the key "normalizer", as in older files, the default normaliser is used.

        Raises:
            CheckpointError: a key is missing or unknown, a type is wrong, or symbols are invalid.
        """
        try:
            values, spelling = read(data)
            tuples = {key: tuple(values[key]) for key in ("symbols", "controls")}
            return cls(**{**values, **tuples}, spelling=spelling)
        except ConfigError as error:
            problem = error.problem.removeprefix("vocabulary: ")
            raise CheckpointError(f"{where}: {problem}", CURE) from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary to a JSON file atomically.

        Raises:
            MachineError: the file cannot be written.
        """
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Vocabulary":
        """Load a vocabulary written by `save`.

        Raises:
            CheckpointError: the file is missing, truncated, or not a vocabulary.
        """
        return cls.from_dict(read_json(path, CURE), where=os.fspath(path))

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
