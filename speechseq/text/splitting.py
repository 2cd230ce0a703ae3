"""Splits long texts into speakable pieces, at sentences, then clauses, then words."""

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator

from speechseq.text.rules.abbreviations import ABBREVIATIONS
from speechseq.text.rules.sentences import ends_sentence

LONGEST = 400  # most characters of a piece, and of a text that is not split

_PARAGRAPH = re.compile(r"\n[^\S\n]*+\n")
# possessive, and only from the first mark of a run: linear time even for a million marks
_CLOSING = r"[\"'”’»)\]]*+"
_END = re.compile(rf"(?:(?<![.!?…])[.!?…]++{_CLOSING}(?=\s)|[。！？]{_CLOSING})")
_CLAUSE = re.compile(rf"(?:(?<![.!?…,;:])[.!?…,;:]++{_CLOSING}|\s[-–—]++|—)(?=\s|\w)|[、，；：]")
_SPACE = re.compile(r"\s+")
_LAST_WORD = re.compile(r"[^\s\"'“”‘’«»()\[\]]*\Z")
_WORD_BEFORE = 40  # characters searched for the word before a full stop
_QUOTES = {"“": 1, "”": -1, "«": 1, "»": -1}


@dataclasses.dataclass(frozen=True)
class Piece:
    """Part of a text, and the seconds of silence to insert after it."""

    text: str
    pause: float


def split(text: str, longest: int = LONGEST) -> list[Piece]:
    """Split a text of more than `longest` characters; return shorter texts as one piece.

    Every sentence becomes a piece. Sentences that are too long are split at clause marks, then
    between words, then anywhere. Abbreviations ("Dr. Watson"), numbers (3.5) and quotations are
    kept whole if they fit.
    """
    if len(text) <= longest:
        return [Piece(text, 0.0)]
    pieces: list[Piece] = []
    for paragraph in _PARAGRAPH.split(text):
        cut = list(_cut(paragraph, longest, 0))
        pieces += cut[:-1]
        pieces += [dataclasses.replace(piece, pause=0.7) for piece in cut[-1:]]
    return [*pieces[:-1], *(dataclasses.replace(piece, pause=0.0) for piece in pieces[-1:])]


def _cut(text: str, longest: int, level: int) -> Iterator[Piece]:
    """Split a text at the marks of a level, and parts that are too long at the next level."""
    marks, pause = _LEVELS[level]
    parts = _between(text, marks(text))
    if level:
        parts = _packed(parts, longest)
    for part in (" ".join(part.split()) for part in parts):
        if len(part) > longest and level + 1 < len(_LEVELS):
            *inner, last = _cut(part, longest, level + 1)
            yield from (*inner, dataclasses.replace(last, pause=pause))
        elif part:
            yield from (Piece(part[i : i + longest], pause) for i in range(0, len(part), longest))


def _between(text: str, ends: Iterator[int]) -> Iterator[str]:
    for begin, end in itertools.pairwise((0, *ends, len(text))):
        yield text[begin:end]


def _packed(parts: Iterator[str], longest: int) -> Iterator[str]:
    """Join neighbouring parts while the result has at most `longest` characters."""
    held: list[str] = []
    size = 0
    for part in parts:
        if held and size + len(part.rstrip()) > longest:
            yield "".join(held)
            held, size = [], 0
        held.append(part)
        size += len(part)
    yield "".join(held)


def _sentences(text: str) -> Iterator[int]:
    """Positions of sentence ends."""
    for end in _END.finditer(text):
        if _closes(text, end):
            yield end.end()


def _sentences_outside_quotes(text: str) -> Iterator[int]:
    """Positions of sentence ends outside quotations."""
    depth, straight, position = 0, False, 0
    for end in _sentences(text):
        between = text[position:end]
        depth = max(0, depth + sum(_QUOTES.get(character, 0) for character in between))
        straight ^= between.count('"') % 2 == 1
        position = end
        if not depth and not straight:
            yield end


def _clauses(text: str) -> Iterator[int]:
    for mark in _CLAUSE.finditer(text):
        if not _is_abbreviated(text, mark) and not _is_inside_number(text, mark):
            yield mark.end()


def _words(text: str) -> Iterator[int]:
    return (space.end() for space in _SPACE.finditer(text))


def _closes(text: str, end: re.Match[str]) -> bool:
    following = text[end.end() : end.end() + 20].lstrip()[:1]
    if following.islower():
        return False
    return not _is_abbreviated(text, end)


def _is_abbreviated(text: str, mark: re.Match[str]) -> bool:
    """True if a single full stop belongs to an abbreviation and does not end the sentence."""
    if mark[0].strip("\"'”’»)]") != ".":
        return False
    stop = mark.start()
    before = _LAST_WORD.search(text[max(0, stop - _WORD_BEFORE) : stop])
    word = before[0] if before else ""
    if word in ("no", "No") and not text[mark.end() : mark.end() + 2].strip().isdigit():
        return False
    abbreviated = word in ABBREVIATIONS or "." in word or (len(word) == 1 and word.isalpha())
    return abbreviated and word != "I" and not ends_sentence(text, stop + 1)


def _is_inside_number(text: str, mark: re.Match[str]) -> bool:
    around = text[mark.start() - 1 : mark.start()], text[mark.end() : mark.end() + 1]
    return all(character.isdigit() for character in around) and mark[0] in ".,:"


_LEVELS: tuple[tuple[Callable[[str], Iterator[int]], float], ...] = (
    (_sentences_outside_quotes, 0.4),
    (_sentences, 0.4),
    (_clauses, 0.15),
    (_words, 0.05),
)
