"""Text of any language in the symbols of a vocabulary: other code points, never other words."""

import dataclasses
import re
import unicodedata
from functools import cached_property

from speechseq.text.letter_case import fold_case
from speechseq.text.rules.characters import composed

_MOST_READINGS = 4
_SPACES = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
# Marks that stand for each other, the nearest ones first.
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
    """Normaliser of languages other than English: no word is changed and no letter folded away.

    Text is composed (NFC) and its white space is one space. A character that is not in `known` is
    replaced by an equivalent that is: its lower case stays for `Vocabulary.encode`, other widths,
    ligatures, decomposed letters and jamo, and other forms of quotes, dashes and stops. Invisible
    format characters are dropped. Everything else stays, digits too, for `encode` to refuse by
    name.

    Args:
        known: the characters of the vocabulary's symbols.
        fold: the vocabulary reads "A" as "a" where only "a" has an id.
        spoken: letters, marks and digits are all taken, because espeak reads them.
    """

    known: frozenset[str]
    fold: bool = False
    spoken: bool = False

    def __call__(self, text: str) -> str:
        """The text in known characters as far as they can express it; idempotent."""
        for _ in range(_MOST_READINGS):
            read = self._read(text)
            if read == text:
                break
            text = read
        return text

    def _read(self, text: str) -> str:
        """One reading; a ligature that it takes apart may compose with the mark behind it."""
        text = composed("".join(map(self._visible, _SPACES.sub(" ", text))))
        forms = {c: self._form(c) for c in set(text)}
        return _SPACES.sub(" ", "".join([forms[c] for c in text])).strip()

    def _visible(self, character: str) -> str:
        """The character in its own width, or nothing if it has no ink."""
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
        """Equivalents of a character, the nearest ones first."""
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
        """Symbols that composing would replace or that differ in width, by what they become."""
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
