"""Bible verses, which have the form of times of day: "Psalm 23:1-6", "1 Cor. 13:4"."""

import re

from speechseq.text.rules.numbers import cardinal

# Prefix and name of each book: "Gen" and every longer form is Genesis.
_BOOKS = {
    "Gen": "Genesis", "Ex": "Exodus", "Exod": "Exodus", "Lev": "Leviticus", "Num": "Numbers",
    "Deut": "Deuteronomy", "Josh": "Joshua", "Judg": "Judges", "Ruth": "Ruth", "Sam": "Samuel",
    "Kgs": "Kings", "Chr": "Chronicles", "Chron": "Chronicles", "Ezra": "Ezra", "Neh": "Nehemiah",
    "Esth": "Esther", "Job": "Job", "Ps": "Psalm", "Psa": "Psalm", "Psalm": "Psalm",
    "Prov": "Proverbs", "Eccl": "Ecclesiastes", "Isa": "Isaiah", "Jer": "Jeremiah",
    "Lam": "Lamentations", "Ezek": "Ezekiel", "Dan": "Daniel", "Hos": "Hosea", "Joel": "Joel",
    "Amos": "Amos", "Obad": "Obadiah", "Jonah": "Jonah", "Mic": "Micah", "Nah": "Nahum",
    "Hab": "Habakkuk", "Zeph": "Zephaniah", "Hag": "Haggai", "Zech": "Zechariah",
    "Mal": "Malachi", "Matt": "Matthew", "Mt": "Matthew", "Mark": "Mark", "Mk": "Mark",
    "Luke": "Luke", "Lk": "Luke", "John": "John", "Jn": "John", "Acts": "Acts", "Rom": "Romans",
    "Cor": "Corinthians", "Gal": "Galatians", "Eph": "Ephesians", "Phil": "Philippians",
    "Col": "Colossians", "Thess": "Thessalonians", "Tim": "Timothy", "Tit": "Titus",
    "Phlm": "Philemon", "Philem": "Philemon", "Heb": "Hebrews", "Jas": "James", "Pet": "Peter",
    "Jude": "Jude", "Rev": "Revelation", "Tob": "Tobit", "Wis": "Wisdom", "Sir": "Sirach",
    "Macc": "Maccabees",
}  # fmt: skip
_NAMES = set(_BOOKS.values()) | {
    "Psalms", "Song of Solomon", "Song of Songs", "Judith", "Baruch", "Revelations", "Surah",
    "Sura", "Quran", "Qur'an", "Koran", "Bhagavad Gita", "Alma", "Nephi", "Mosiah",
}  # fmt: skip
_NUMBERED = {"1": "First", "2": "Second", "3": "Third", "I": "First", "II": "Second",
             "III": "Third"}  # fmt: skip
_BOOK = "|".join(sorted({*_BOOKS, *_NAMES}, key=len, reverse=True))
_PLACE = r"\d{1,3}:\d{1,3}(?![\d:])"
_VERSE = re.compile(
    rf"(?<![\w.])(?:([123]|I{{1,3}}) )?({_BOOK})(\.?) "
    rf"({_PLACE}(?:(?: ?- ?|[,;] ?)(?:{_PLACE}|\d{{1,3}}(?![\d:]))){{0,20}})"
    r"(?! ?[AaPp]\.?[Mm](?![A-Za-z]))"
)
_PAIR = re.compile(r"\d:\d")
_PART = re.compile(r"(\d+):(\d+)|\d+|[,;] ?| ?- ?")


def read_verses(text: str) -> str:
    """Convert Bible verses to words: "Psalm 23:1-6" is "Psalm twenty-three one to six"."""
    return _VERSE.sub(_verse, text) if _PAIR.search(text) else text


def _verse(match: re.Match[str]) -> str:
    number, book, _, places = match.groups()
    name = book if book in _NAMES else _BOOKS[book]
    return f"{f'{_NUMBERED[number]} ' if number else ''}{name} {_PART.sub(_part, places)}"


def _part(match: re.Match[str]) -> str:
    if match[1]:
        return _chapter_and_verse(match[1], match[2])
    if match[0].isdecimal():
        return cardinal(match[0])
    return " to " if "-" in match[0] else f"{match[0].strip()} "


def _chapter_and_verse(chapter: str, verse: str) -> str:
    """Words for chapter and verse, with a comma where they would merge: "twenty, three"."""
    merges = int(chapter) >= 20 and int(chapter) % 10 == 0 and int(verse) < 10
    pause = "," if merges or max(int(chapter), int(verse)) >= 100 else ""
    return f"{cardinal(chapter)}{pause} {cardinal(verse)}"
