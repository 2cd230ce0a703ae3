"""Abbreviations, expanded by their context where they are ambiguous."""

import re

from speechseq.text.rules.sentences import STARTERS, ends_sentence

_TITLES = {
    "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Messrs": "Messieurs", "Prof": "Professor",
    "Rev": "Reverend", "Revd": "Reverend", "Hon": "Honorable", "Gen": "General", "Col": "Colonel",
    "Maj": "Major", "Capt": "Captain", "Cmdr": "Commander", "Cdr": "Commander",
    "Lt": "Lieutenant", "Sgt": "Sergeant", "Cpl": "Corporal", "Pvt": "Private", "Adm": "Admiral",
    "Gov": "Governor", "Sen": "Senator", "Rep": "Representative", "Pres": "President",
    "Supt": "Superintendent", "Insp": "Inspector", "Det": "Detective", "Mme": "Madame",
    "Mlle": "Mademoiselle", "Mt": "Mount", "Ft": "Fort",
}  # fmt: skip
# Expanded everywhere, together with their full stop.
_ALWAYS = {
    "Jr": "Junior", "Sr": "Senior", "Esq": "Esquire", "Co": "Company", "Corp": "Corporation",
    "Inc": "Incorporated", "Ltd": "Limited", "Bros": "Brothers", "Dept": "Department",
    "dept": "department", "Assn": "Association", "Univ": "University", "Ave": "Avenue",
    "Blvd": "Boulevard", "Rd": "Road", "Hwy": "Highway", "Pkwy": "Parkway", "Apt": "Apartment",
    "etc": "et cetera", "vs": "versus", "approx": "approximately", "viz": "namely",
    "Jan": "January", "Feb": "February", "Apr": "April", "Aug": "August", "Sept": "September",
    "Oct": "October", "Nov": "November", "Tues": "Tuesday", "Thurs": "Thursday",
    "Calif": "California",
    "Conn": "Connecticut", "Tenn": "Tennessee", "Okla": "Oklahoma", "Minn": "Minnesota",
    "govt": "government", "Govt": "Government", "misc": "miscellaneous", "cf": "compare",
    "temp": "temperature", "Div": "Division", "tel": "telephone", "Tel": "Telephone",
}  # fmt: skip
# Expanded only before a number (Arabic or Roman).
_BEFORE_FIGURE = {
    "p": "page", "pp": "pages", "vol": "volume", "vols": "volumes", "ch": "chapter",
    "chap": "chapter", "fig": "figure", "figs": "figures", "sec": "section", "eq": "equation",
    "art": "article", "ed": "edition", "ext": "extension", "est": "established", "pt": "part",
    "ver": "version", "op": "opus", "bk": "book",
}  # fmt: skip
DAYS = {"Mon": "Monday", "Tue": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday",
         "Thur": "Thursday", "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday"}  # fmt: skip
_STATES = {"Ala": "Alabama", "Ariz": "Arizona", "Ark": "Arkansas", "Colo": "Colorado",
           "Del": "Delaware", "Fla": "Florida", "Ga": "Georgia", "Ill": "Illinois",
           "Ind": "Indiana", "Ky": "Kentucky", "La": "Louisiana", "Mass": "Massachusetts",
           "Md": "Maryland", "Mich": "Michigan", "Miss": "Mississippi", "Mo": "Missouri",
           "Nev": "Nevada", "Pa": "Pennsylvania", "Tex": "Texas", "Va": "Virginia",
           "Wash": "Washington", "Wis": "Wisconsin"}  # fmt: skip
# All abbreviations, and some of other languages, without their full stop.
ABBREVIATIONS = frozenset(
    {*_TITLES, *_ALWAYS, *_BEFORE_FIGURE, *DAYS, *_STATES}
    | {"Dr", "St", "No", "no", "Nr", "bzw", "usw", "ca", "Hr", "Fr", "Str", "Sra", "Mgr", "al"}
)

_DOTTED_WORD = re.compile(r"(?<![A-Za-z.])([A-Za-z]{1,7})\.(?![A-Za-z])")
_LATIN = re.compile(r"(?<![A-Za-z.])([EeIi])\. ?([ge])\.(?![A-Za-z])")
_BARE_TITLE = re.compile(r"\b(?<![.'-])(Mr|Mrs|Ms|Dr|St|Prof)(?= [A-Z])")
_DOCTORATE = re.compile(r"\bPh(?:D(?=s?(?![A-Za-z]))|\.D\.)")
_VERSUS = re.compile(r"(?<=[A-Za-z]) (?:vs?\.?) (?=[A-Z])|(?<= )vs(?= )")
_SLASHED = re.compile(
    r"(?<![A-Za-z/])(?:(w)/(o?)(?![A-Za-z/])|([Aa]nd)/or(?![A-Za-z])|(c)/o(?![a-z/]))"
)
_LETTERDAYS = re.compile(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)(?=, [A-Z0-9])")
_PLACE_BEFORE = re.compile(r"(?:[A-Z][a-z']+|\d(?:st|nd|rd|th)|[a-z](?:st|nd|rd|th|d)) $")
_NUMBERED = re.compile(r"\d(?:st|nd|rd|th)? (?:[A-Z][a-z']*\.? ?){0,3}$")
_NAME_AFTER = re.compile(rf" ?(?!(?:{STARTERS})(?![A-Za-z'.]))[A-Z]")


def read_abbreviations(text: str) -> str:
    """Expand abbreviations to full words, chosen by the words around them.

    "Dr. Smith" becomes "Doctor Smith", "5 Elm Dr." becomes "5 Elm Drive".
    """
    if "/" in text:
        text = _SLASHED.sub(_slashed, text)
    if " v" in text:
        text = _VERSUS.sub(lambda m: " versus " if m[0][0] == " " else "versus", text)
    text = _DOCTORATE.sub("P.H.D.", text)
    if "." in text:
        text = _DOTTED_WORD.sub(_word, _LATIN.sub(_latin, text))
    return _BARE_TITLE.sub(_bare_title, _LETTERDAYS.sub(lambda m: DAYS[m[1]], text))


def _word(match: re.Match[str]) -> str:
    """Full word; keeps the full stop if it also ends the sentence."""
    word, text, end = match[1], match.string, match.end()
    stop = "." if ends_sentence(text, end) else ""
    if word in _ALWAYS:
        return _ALWAYS[word] + stop
    if word in ("Mr", "Mrs", "Ms", "Messrs"):
        return _TITLES[word] + stop
    if word in _TITLES and _NAME_AFTER.match(text, end):
        return _TITLES[word]
    if word in ("Dr", "St"):
        return _by_position(match, stop)
    if word.lower() in _BEFORE_FIGURE and re.compile(r" ?[\dIVX]").match(text, end):
        full = _BEFORE_FIGURE[word.lower()]
        return (full.capitalize() if word[0].isupper() else full) + _gap(text, end)
    if word in ("c", "ca") and re.compile(r" ?\d{3,4}(?!\d)").match(text, end):
        return "circa" + _gap(text, end)
    if word in _STATES and match.string[match.start() - 2 : match.start()] == ", ":
        return _STATES[word] + stop
    if word in DAYS and re.compile(r",|,? [A-Z\d]").match(text, end) and not stop:
        return DAYS[word]
    if word in ("Mar", "Dec", "Jun", "Jul", "Sep") and re.compile(r"(?<=\d )").match(
        text, match.start()
    ):
        return _MONTHS[word] + stop
    return match[0]


_MONTHS = {"Mar": "March", "Jun": "June", "Jul": "July", "Sep": "September", "Dec": "December"}


def _gap(text: str, end: int) -> str:
    return "" if text[end : end + 1] == " " else " "


def _by_position(match: re.Match[str], stop: str) -> str:
    """Expand "Dr." and "St.": Doctor and Saint before a name, Drive and Street after one.

    If both fit, a house number decides.
    """
    text = match.string
    before = text[max(0, match.start() - 40) : match.start()]
    after_place = _PLACE_BEFORE.search(before) and not re.search(r"[.!?] $|^$", before)
    named = _NAME_AFTER.match(text, match.end()) and not stop
    numbered = _NUMBERED.search(before) and re.search(r"[A-Za-z]", before)
    thoroughfare = after_place and (numbered or not named)
    if match[1] == "Dr":
        return ("Drive" + stop) if thoroughfare else "Doctor"
    return ("Street" + stop) if thoroughfare else "Saint"


def _bare_title(match: re.Match[str]) -> str:
    word = match[1]
    if word in ("Dr", "St"):
        return _by_position(match, "")
    return _TITLES[word]


def _latin(match: re.Match[str]) -> str:
    pair = (match[1] + match[2]).lower()
    full = {"eg": "for example", "ie": "that is"}.get(pair)
    if full is None:
        return match[0]
    return full.capitalize() if match[1].isupper() else full


def _slashed(match: re.Match[str]) -> str:
    if match[1]:
        return "without" if match[2] else "with "
    return f"{match[3]} or" if match[3] else "care of"
