"""Splits texts into sentences, and long texts into speakable pieces: sentences, clauses, words."""

import dataclasses
import heapq
import itertools
import re
from collections.abc import Callable, Iterator

from speechseq.text.quotations import Passages
from speechseq.text.rules.abbreviations import ABBREVIATIONS
from speechseq.text.rules.sentences import ends_sentence

LONGEST = 400  # most characters of a piece, and of a text that is not split
# seconds of silence as espeak-ng has them (its CLAUSE_… in translate.h, at its normal speed); a
# full stop or question mark, or no mark, has the pause of the level at which the text is cut
_PARAGRAPH_PAUSE, _SENTENCE_PAUSE = 0.7, 0.4
_MARK_PAUSES = (
    dict.fromkeys("!！", 0.45) | dict.fromkeys(";:；：", 0.3) | dict.fromkeys(",，、", 0.2)
)

_PARAGRAPH = re.compile(r"\n[^\S\n]*+\n")
# possessive, and only from the first mark of a run: linear time even for a million marks
_CLOSERS = "\"'”’“»«›)]}」』"
_CLOSING = f"[{re.escape(_CLOSERS)}]*+"
# an ellipsis may be written with spaces between its stops
_STOPS = r"(?<![.!?…])(?<![.!?…] )[.!?…]++(?:[ \xa0]\.(?![.!?…]))*+"
_END = re.compile(rf"(?:{_STOPS}{_CLOSING}(?=\s)|[。！？]{_CLOSING})")
_CLAUSE = re.compile(rf"(?:(?<![.!?…,;:])[.!?…,;:]++{_CLOSING}|\s[-–—]++|—)(?=\s|\w)|[、，；：]")
_SPACE = re.compile(r"\s+")
_LAST_WORD = re.compile(r"[^\s\"'“”‘’«»()\[\]]*\Z")
_ENUMERATOR = re.compile(r"\s*+[(\[]?(?:\d{1,3}|[IVX]{1,5}|[A-Za-z])\.[)\]]?")
_WORD_BEFORE = 40  # characters searched for the word before a full stop
_TITLE = re.compile("Mrs?|Ms|Messrs|Drs?|Profs?|Rev|Mme|Mlle")  # stand before a name
_SHORT_FORM = re.compile(  # besides those that are spoken as whole words
    "Mar|Jun|Jul|Sep|Dec|Figs?|Vols?|Ch|Eqs?|Sec|Pp|Msgr|[Nn]os|hrs?|min|oz|lbs?|ft|yds|mph|seq"
    "|[Ii]bid|Rs|Sq|Frl|z"
)
_DOTTED = re.compile(r"[^\W\d]{1,3}(?:\.[^\W\d]{1,3})+")  # U.S, e.g, Ph.D


@dataclasses.dataclass(frozen=True)
class Piece:
    """Part of a long text that is synthesised on its own; see `split`.

    Attributes:
        text: the part.
        pause: seconds of silence to insert after it.
    """

    text: str
    pause: float


def split_sentences(text: str) -> list[str]:
    """Split a text into its sentences; white space within a sentence becomes single spaces.

    Full stops of abbreviations, initials, numbers and enumerations ("1. First") end no sentence.
    Quotations and brackets are kept whole, however long (see `Passages`). A blank line ends a
    sentence. No character except white space is lost.

    Examples:
        >>> split_sentences("Dr. No paid $3.50. “Come in. Sit down,” he said.")
        ['Dr. No paid $3.50.', '“Come in. Sit down,” he said.']
    """
    parts = (" ".join(part.split()) for part in _between(text, _ends(text)))
    return [part for part in parts if part]


def split(text: str, longest: int = LONGEST) -> list[Piece]:
    """Split a long text into pieces that a synthesiser can speak one by one, with pauses between.

    A text of at most `longest` characters is returned as one piece. Otherwise every sentence
    becomes a piece (see `split_sentences`). A sentence longer than `longest` is split further, at
    the first of these places that makes its parts short enough: sentence ends inside of quotations,
    clause marks, spaces, any character.

    Args:
        text: text of any length.
        longest: maximum number of characters of a piece.
    """
    if len(text) <= longest:
        return [Piece(text, 0.0)]
    pieces: list[Piece] = []
    for part in _between(text, _ends(text)):
        sentence = part.lstrip()
        if pieces and _PARAGRAPH.search(part, 0, len(part) - len(sentence)):
            pieces[-1] = dataclasses.replace(pieces[-1], pause=_PARAGRAPH_PAUSE)
        pause = _pause_after(sentence, _SENTENCE_PAUSE)
        pieces += _shortened(" ".join(sentence.split()), longest, 0, pause)
    return [*pieces[:-1], *(dataclasses.replace(piece, pause=0.0) for piece in pieces[-1:])]


def _shortened(part: str, longest: int, level: int, pause: float) -> Iterator[Piece]:
    """A part with the pause after it, split at the marks of the levels if it is too long."""
    if len(part) > longest and level < len(_LEVELS):
        *inner, last = _cut(part, longest, level)
        yield from (*inner, dataclasses.replace(last, pause=pause))
    elif part:
        yield from (Piece(part[i : i + longest], pause) for i in range(0, len(part), longest))


def _cut(text: str, longest: int, level: int) -> Iterator[Piece]:
    """Split a text at the marks of a level, and parts that are too long at the next level."""
    marks, pause = _LEVELS[level]
    for part in _packed(_between(text, marks(text)), longest):
        after = _pause_after(part, pause)
        yield from _shortened(" ".join(part.split()), longest, level + 1, after)


def _pause_after(part: str, otherwise: float) -> float:
    """Seconds of silence after a part, by its last mark, which a closing quotation may follow."""
    return _MARK_PAUSES.get(part.rstrip().rstrip(_CLOSERS)[-1:], otherwise)


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
    begin = 0
    for end in _END.finditer(text):
        if _closes(text, end) and not _ENUMERATOR.fullmatch(text, begin, end.end()):
            begin = end.end()
            yield begin


def _ends(text: str) -> Iterator[int]:
    """Positions of the ends of sentences and of paragraphs, outside of quotations and brackets."""
    passages, paragraphs = Passages(text), (end.start() for end in _PARAGRAPH.finditer(text))
    for end in heapq.merge(_sentences(text), paragraphs):
        if not passages.contains(end):
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
    """Return True if a single full stop ends an abbreviation and not the sentence."""
    if mark[0].rstrip("\"'”’“»«›)]}」』") != ".":
        return False
    stop = mark.start()
    before = _LAST_WORD.search(text[max(0, stop - _WORD_BEFORE) : stop])
    word = before[0] if before else ""
    if word in ("no", "No") and not text[mark.end() : mark.end() + 2].strip().isdigit():
        return False
    if _TITLE.fullmatch(word):
        return True
    abbreviated = (
        word in ABBREVIATIONS
        or (len(word) == 1 and word.isalpha())
        or any(form.fullmatch(word) for form in (_SHORT_FORM, _DOTTED))
    )
    return abbreviated and word != "I" and not ends_sentence(text, stop + 1)


def _is_inside_number(text: str, mark: re.Match[str]) -> bool:
    around = text[mark.start() - 1 : mark.start()], text[mark.end() : mark.end() + 1]
    return all(character.isdigit() for character in around) and mark[0] in ".,:"


_LEVELS: tuple[tuple[Callable[[str], Iterator[int]], float], ...] = (
    (_sentences, _SENTENCE_PAUSE),
    (_clauses, 0.15),
    (_words, 0.05),
)
