"""Subword pieces, by sentencepiece models (Kudo 2018, Sennrich 2016)."""

import base64
import binascii
import dataclasses
import io
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Literal

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from speechseq.errors import ConfigError

SPACE = "\u2581"  # sentencepiece's mark of a space, at the beginning of a word
_NOT_TAKEN = re.compile(f"([{SPACE}\ud800-\udfff])")  # surrogates: the library raises on them
_REFUSED = {SPACE: SPACE + " "}  # never a symbol: no piece holds a plain space
_WHOLE_LINES = 1 << 20  # bytes; the library's default 4192 silently drops longer texts


@dataclasses.dataclass(frozen=True)
class Pieces:
    """Spelling of texts by the subword pieces of a sentencepiece model (see `Spelling`).

    `train` makes one from texts; `Vocabulary.pieces` builds a vocabulary with it.

    Args:
        model: content of a sentencepiece model's file, as bytes.

    Raises:
        ConfigError: the bytes are not a sentencepiece model.
    """

    model: bytes = dataclasses.field(repr=False)
    name = "sentencepiece pieces"
    leads_with_space = True

    def __post_init__(self) -> None:
        if not self.symbols:
            raise ConfigError("the sentencepiece model holds no pieces")

    @classmethod
    def from_base64(cls, text: str) -> "Pieces":
        """Build from the content of a sentencepiece model's file in base64, as `to_dict` writes it.

        Raises:
            ConfigError: the text is not base64, or not a sentencepiece model.
        """
        try:
            return cls(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError):
            raise ConfigError("model is no base64") from None

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """All pieces that can occur in a text, in the model's order.

        Control pieces such as <s>, <unk>, unused pieces and pieces for single bytes are left out.
        """
        try:
            loaded = self._processor
            kept = (i for i in range(len(loaded)) if not _is_special(loaded, i))
            return tuple(loaded.id_to_piece(i) for i in kept)
        except (RuntimeError, ValueError) as error:  # ValueError: a piece is not UTF-8
            problem = str(error).splitlines()[0] if str(error) else "unreadable"
            raise ConfigError(f"no sentencepiece model: {problem[:120]}") from None

    def check(self, symbols: Sequence[str]) -> None:
        """Raise ConfigError if a vocabulary's symbols are not the pieces of the model."""
        if tuple(symbols) != self.symbols:
            raise ConfigError("the symbols are not those of the sentencepiece model")

    def split(self, text: str) -> list[str]:
        """Split a text into pieces; characters unknown to the model become single symbols."""
        symbols: list[str] = []
        for i, part in enumerate(_NOT_TAKEN.split(text)):
            symbols += [_REFUSED.get(part, part)] if i % 2 else self._cut(part)
        return symbols

    def text(self, symbol: str) -> str:
        """Return the text of a piece: "▁", the mark of a word's beginning, becomes a space."""
        return symbol.replace(SPACE, " ")

    def to_dict(self) -> dict[str, Any]:
        """Return the entries of a vocabulary's file: {"units": "pieces", "model": base64 text}."""
        return {"units": "pieces", "model": base64.b64encode(self.model).decode("ascii")}

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model}

    @cached_property
    def _processor(self) -> SentencePieceProcessor:
        if not self.model:  # the library would accept empty bytes and load nothing
            raise ConfigError("the sentencepiece model is empty")
        return SentencePieceProcessor(model_proto=self.model)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.symbols)

    def _cut(self, text: str) -> list[str]:
        pieces = self._processor.encode(text, out_type=str)
        return [s for piece in pieces for s in ([piece] if piece in self._known else piece)]


def train(texts: Iterable[str], size: int, kind: Literal["unigram", "bpe"] = "unigram") -> Pieces:
    """Learn a sentencepiece model of `size` subword pieces that cover every character of the texts.

    sentencepiece's own normalisation is switched off. The result is deterministic.

    Args:
        texts: normalised texts.
        size: number of pieces.
        kind: algorithm, "unigram" (Kudo 2018) or "bpe" (Sennrich 2016).

    Raises:
        ConfigError: there are no texts, or `size` is too large or too small for them.
    """
    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            vocab_size=size + 1,  # plus <unk>, which the library requires
            model_type=kind,
            character_coverage=1.0,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            max_sentence_length=_WHOLE_LINES,
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            num_threads=1,  # with several threads, sums would depend on their order
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ConfigError(f"{size} pieces cannot be learned", _size_cure(str(error))) from None
    return Pieces(model.getvalue())


def _size_cure(problem: str) -> str:
    """Cure for a wrong size, from the library's message; <unk> is not counted."""
    if most := re.search(r"value <= (\d+)", problem):
        return f"these texts fill at most {int(most[1]) - 1}"
    if least := re.search(r"vs (\d+)", problem):
        return f"these texts need at least {int(least[1]) - 1}, one for each character"
    return "give texts to learn from"


def _is_special(loaded: SentencePieceProcessor, i: int) -> bool:
    return loaded.is_control(i) or loaded.is_unknown(i) or loaded.is_unused(i) or loaded.is_byte(i)
