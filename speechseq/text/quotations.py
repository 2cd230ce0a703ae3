"""Quotations and brackets of a text: the passages in which no sentence is cut."""

import bisect
import re
from collections import defaultdict
from collections.abc import Iterator

Span = tuple[int, int]  # from an opening mark to the place after its closing mark

# Kinds of passage, named by their opening marks, that each mark may close
_CLOSES = {"”": "“„", "“": "„", "»": "«", "«": "»", "›": "‹", "」": "「", "』": "『"}
_BRACKETS = {")": "(", "]": "[", "}": "{"}
_OPENS = "“„«‹「『([{"
_MARK = re.compile(r"[“”„«»‹›「」『』()\[\]{}\"'‘’]|\n[^\S\n]*+\n")
# Apostrophes in the place of letters at the beginning of a word, which open no quotation
_ELISION = re.compile(
    r"(?:\d|(?:tis|twas|twere|twill|em|til|till|cause|bout|n|round)\b)", re.IGNORECASE
)
_OPENED_BY = "([{-–—“„«‹‘\"'"  # characters before an opening mark, besides white space


class Passages:
    """Finds the quotations and brackets of a text, so that no sentence is split inside of them.

    Call `contains` for each place to cut. A passage begins and ends with a pair of marks; a mark
    without a partner is ignored. Curved and angular double quotation marks may be paragraphs apart.
    Brackets, straight quotation marks and single ones only pair within a paragraph, because some of
    them are also apostrophes or inches. Time and memory are linear in the text.

    Args:
        text: the text.
    """

    def __init__(self, text: str) -> None:
        merged: list[Span] = []
        for begin, end in sorted(_pairs(text)):
            if merged and begin < merged[-1][1]:
                begin, end = merged[-1][0], max(end, merged.pop()[1])
            merged.append((begin, end))
        self._begins = [begin for begin, _ in merged]
        self._ends = [end for _, end in merged]

    def contains(self, position: int) -> bool:
        """Return True if the character at index `position` is in a passage after its first.

        A cut in front of this character would divide the passage.
        """
        place = bisect.bisect_left(self._begins, position) - 1
        return place >= 0 and position < self._ends[place]


def _pairs(text: str) -> Iterator[Span]:
    """Spans of all passages, also those inside of others."""
    opened: defaultdict[str, list[int]] = defaultdict(list)
    marks = list(_MARK.finditer(text))
    for place, mark in enumerate(marks):
        character, position = mark[0], mark.start()
        if character.isspace():
            for local in "([{\"'":
                opened[local].clear()
            continue
        kinds = _closing(text, marks, place)
        kind = next((kind for kind in kinds if opened[kind]), "")
        if kind:
            yield opened[kind].pop(), position + 1
        elif kind := _opening(text, position):
            opened[kind].append(position)


def _closing(text: str, marks: list[re.Match[str]], place: int) -> str:
    """Kinds of passage that a mark may close."""
    character, position = marks[place][0], marks[place].start()
    if character not in "\"'’":
        return _CLOSES.get(character, "") + _BRACKETS.get(character, "")
    if not _may_close(text, position):
        return ""
    # an inch or a plural's apostrophe, if another mark closes the quotation after it
    doubtful = text[position - 1].isdigit() if character == '"' else text[position - 1] == "s"
    following = marks[place + 1] if doubtful and place + 1 < len(marks) else None
    if following and following[0] == character and _may_close(text, following.start()):
        return ""
    return '"' if character == '"' else "'"


def _may_close(text: str, position: int) -> bool:
    """Return True if the mark is at the end of a word, or, if it is a double one, alone."""
    if text[position + 1 : position + 2].isalnum() or not position:
        return False
    alone = text[position] == '"' and not text[position + 1 : position + 2].strip()
    return alone or not text[position - 1].isspace()


def _opening(text: str, position: int) -> str:
    """The kind of passage that a mark may open, "" for none."""
    character = text[position]
    if character in _OPENS:
        return character
    before, after = text[max(0, position - 1) : position], text[position + 1 : position + 21]
    begins = not before or before.isspace() or before in _OPENED_BY
    if character == '"':
        return '"' if begins or not before.isalnum() else ""
    if character == "»":
        return "»" if begins and after[:1].isalnum() else ""
    begins = begins and not after[:1].isspace() and not _ELISION.match(after)
    return "'" if character in "'‘" and begins else ""
