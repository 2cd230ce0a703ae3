"""Normalisation of text in any language to a vocabulary's symbols, without changing words."""

import dataclasses
import re
import unicodedata
from functools import cached_property

from speechseq.text.letter_case import fold_case
from speechseq.text.rules.characters import composed

_MOST_READINGS = 4
_SPACES = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
# Interchangeable punctuation marks, nearest first.
_ALIKE = (
    "’'ʼ‘‛`´′", '"“”„‟«»″', "-‐‑−", "–—―‒", "–—―‒-‐‑−", ".。｡।", ",、､،", "?؟", ";؛",
    "([{", ")]}",
)  # fmt: skip
_SEVERAL = {"…": ("...", "。。。")}
_WIDTHS = ("<wide>", "<narrow>")
_SHAPES = ("<initial>", "<medial>", "<final>", "<isolated>")  # of Arabic letters
_VARIATION = re.compile("[\u034f\u180b-\u180d\ufe00-\ufe0f\U000e0100-\U000e01ef]")


@dataclasses.dataclass(frozen=True)
class UnicodeText:
    """Text normaliser for languages other than English, which changes no words.

    Call it with a text. The text is composed (NFC), and runs of white space become one space. A
    character that the vocabulary lacks is replaced by an equivalent that it has: another width, the
    letters of a ligature, decomposed letters and jamo, or other forms of quotes, dashes and stops.
    Invisible format characters are dropped. Everything else is kept, capitals and digits included;
    `Vocabulary.encode` then folds case and reports unknown symbols.

    Args:
        known: the characters of the vocabulary's symbols.
        fold: True if the vocabulary reads "A" as "a" when only "a" has an id.
        spoken: keep all letters, marks and digits, because espeak converts the text to phonemes.
    """

    known: frozenset[str]
    fold: bool = False
    spoken: bool = False

    def __call__(self, text: str) -> str:
        """Rewrite the text in known characters as far as possible; idempotent."""
        for _ in range(_MOST_READINGS):
            read = self._read(text)
            if read == text:
                break
            text = read
        return text

    def _read(self, text: str) -> str:
        """One pass; a decomposed ligature may compose with a following mark in the next pass."""
        text = composed("".join(map(self._visible, _SPACES.sub(" ", text))))
        forms = {c: self._form(c) for c in set(text)}
        return _SPACES.sub(" ", "".join([forms[c] for c in text])).strip()

    def _visible(self, character: str) -> str:
        """The character in its standard width, or "" for invisible format characters."""
        if character.isascii() or self._taken(character):
            return character
        if unicodedata.category(character) == "Cf" or _VARIATION.match(character):
            return ""
        wide = unicodedata.decomposition(character).startswith(_WIDTHS)
        return unicodedata.normalize("NFKC", character) if wide else character

    def _form(self, character: str) -> str:
        if self._taken(character):
            return character
        for form in self._forms(character):
            if all(map(self._taken, form)):
                return form
        return character

    def _forms(self, character: str) -> list[str]:
        """Equivalents of a character, nearest first."""
        tag = unicodedata.decomposition(character)
        letters = tag.startswith("<compat>") and unicodedata.category(character)[0] == "L"
        compatible = character
        if letters or tag.startswith(_SHAPES):
            compatible = unicodedata.normalize("NFKC", character)
        forms = [compatible, unicodedata.normalize("NFD", compatible)]
        forms += self._stand_ins.get(character, [])
        forms += [mark for group in _ALIKE if character in group for mark in group]
        return forms + list(_SEVERAL.get(character, ()))

    @cached_property
    def _stand_ins(self) -> dict[str, list[str]]:
        """Known symbols that NFC or width folding would change, by their changed form."""
        found: dict[str, list[str]] = {}
        for symbol in sorted(self.known):
            wide = unicodedata.decomposition(symbol).startswith(_WIDTHS)
            form = unicodedata.normalize("NFKC" if wide else "NFC", symbol)
            found.setdefault(form, []).append(symbol)
        return found

    def _taken(self, character: str) -> bool:
        if character in self.known or character == " ":
            return True
        if self.spoken and unicodedata.category(character)[0] in "LMN":
            return True
        return self.fold and fold_case(character, self.known) in self.known
