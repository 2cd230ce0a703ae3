"""Roman numerals, read as "the eighth" after a ruler's name, and as a plain number elsewhere."""

import re

from speechseq.text.rules.numbers import cardinal, ordinal

_RULERS = (
    "Henry|George|Edward|William|Charles|James|Louis|Richard|Elizabeth|Mary|John|Paul|Pius|Leo|"
    "Gregory|Benedict|Innocent|Clement|Urban|Boniface|Alexander|Nicholas|Peter|Catherine|Frederick|"
    "Napoleon|Philip|Ferdinand|Francis|Joseph|Otto|Leopold|Christian|Gustav|Gustavus|Ramses|"
    "Rameses|Ptolemy|Darius|Cyrus|Artaxerxes|Xerxes|Sargon|Shalmaneser|Ashurnasirpal|Cambyses|"
    "Nebuchadnezzar|Antiochus|Ivan|Victor|Emmanuel|Albert|Alfonso|Carlos|Umberto|Wilhelm|Friedrich|"
    "Karl|Baldwin|Julius|Sixtus|Celestine|Constantine|Justinian|Theodosius|Robert|David|"
    "Stephen|Margaret|Margrethe|Isabella|Anne|Haakon|Harald|Olaf|Magnus|Sigismund|Casimir|Murad|"
    "Mehmed|Selim|Suleiman|Abdul|Amenhotep|Thutmose|Seti|Tiglath-Pileser"
)
_PARTS = (
    "War|Chapter|Part|Book|Volume|Act|Scene|Section|Article|Title|Appendix|Figure|Table|Class|Type|"
    "Phase|Level|Page|Apollo|Bowl|Canto|Stage|Schedule|Division|Corps|Psalm|Lesson|Unit|"
    "Vatican|Gemini|Saturn|Rocky|Amendment|Form|Grade|Group|Category|Plate|Rule|Exhibit"
)
_NUMERAL = r"(M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3}))"
_AFTER_RULER = re.compile(
    rf"(?<![A-Za-z])({_RULERS}) (?=[IVX]){_NUMERAL}(?![A-Za-z])(\.(?=[, ;:]|$))?"
)
_SECOND_RULER = re.compile(
    r"(?<= the )((?:[a-z]+-)?(?:first|second|third|[a-z]{2,9}th) and) "
    rf"(?=[IVX]){_NUMERAL}(?![A-Za-z])"
)
_AFTER_PART = re.compile(
    rf"(?i:(?<![a-z])({_PARTS})s?) (?=[IVX]|[LC][IVXLC]){_NUMERAL}(?![A-Za-z'])"
)
_CENTURY = re.compile(
    r"(?<![A-Za-z.'-])(?=[IVX])(X{0,3}(?:IX|IV|V?I{0,3}))(?:th)?(?= [Cc]entury(?![A-Za-z]))"
)
_ALONE = re.compile(r"(?<![A-Za-z.'-])(?=[IVX]{2})(X{0,3}(?:IX|IV|V?I{0,3}))(?![A-Za-z.]*[A-Za-z])")
_CANDIDATE = re.compile(r"[IVXLC]")
_AFTER_I = re.compile(r"$|[,.;:)\"]|'s| (?:of|and|in|on|to|at|with|by|from|who|is|as)(?![a-z])")
_NOT_PRONOUN = re.compile(
    r"(?! (?:am|was|have|had|will|would|could|can|should|may|must|shall|did|do|think|know|saw|went"
    r"|said|say|never|wrote|read|don't|'m|'d|'ve|'ll)(?![a-z]))"
)
_LETTERS = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def read_romans(text: str) -> str:
    """Read Roman numerals, as in Henry VIII, Chapter IV, World War II.

    A single "I" is a number only if it cannot be the pronoun or an initial.
    """
    if not _CANDIDATE.search(text):
        return text
    text = _AFTER_RULER.sub(_ruler, text)
    text = _SECOND_RULER.sub(lambda m: f"{m[1]} the {ordinal(str(value(m[2])))}", text)
    text = _AFTER_PART.sub(_part, text)
    text = _CENTURY.sub(lambda m: ordinal(str(value(m[1]))), text)
    return _ALONE.sub(lambda m: cardinal(str(value(m[1]))), text)


def value(numeral: str) -> int:
    """Return the value of a well-formed Roman numeral in capitals: "XIV" is 14."""
    numbers = [_LETTERS[letter] for letter in numeral]
    following = [*numbers[1:], 0]
    return sum(n if n >= after else -n for n, after in zip(numbers, following, strict=True))


def _ruler(match: re.Match[str]) -> str:
    name, numeral, dot = match.groups()
    text, end = match.string, match.end()
    if numeral == "I" and not dot and not _AFTER_I.match(text, end):
        return match[0]
    if len(numeral) == 1 and dot and re.compile(r" [A-Z]").match(text, end):
        return match[0]  # an initial: "Robert I. Bouck"
    stop = "." if dot and end >= len(text) else ""
    return f"{name} the {ordinal(str(value(numeral)))}{stop}"


def _part(match: re.Match[str]) -> str:
    number = _AFTER_I if match[1][0].islower() else _NOT_PRONOUN  # "the part I played"
    if match[2] == "I" and not number.match(match.string, match.end()):
        return match[0]
    return match[0].replace(match[2], cardinal(str(value(match[2]))), 1)
