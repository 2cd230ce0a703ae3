"""Acronyms: letters spoken one by one get full stops, as in "U.S."; NASA stays a word.

The published LJSpeech text writes such letters as "U.S.A.", "M.P.", "p.m.". Letters that it leaves
unmarked are marked here too (FBI becomes F.B.I.), because vocabularies that fold case would lose
the capitals.
"""

import re

_RUN = re.compile(r"(?<![A-Za-z.])[A-Z]{2,}+(?: [A-Z]{2,}+)*(?![a-rt-z])(?!s[a-z])")
_WORD = re.compile(r"[A-Z]{2,}")
_SPELLED = """
FBI CIA USA UK US EU UN UAE NSA IRS IRA IBM TV PC DJ UFO AI IQ ID ATM BBC CNN NBC
ABC CBS NBA NFL NHL MLB NYPD LAPD DNA RNA HIV USSR YMCA NAACP IEEE IOU USB CPU GPU URL API GPS
SUV RSVP FAQ DIY ETA EEG EKG ECG MRI UV IRC IP IO AM PM AC DC AD BC BCE CE OECD EPA FAA FDA FCC
FPCC PRS WDSU ACLU AFL CIO MIT UCLA USC JFK LBJ FDR ASAP VIP VHF UHF SOS MSS BBL
"""
_COMMON = """
AM AN AS AT BE BY DO GO HE IF IN IS IT ME MY NO OF OH OK ON OR SO TO UP WE HI HA ACT ADD AGE AGO
AID AIM AIR ALL AND ANY ARE ARM ART ASK BAD BAG BAR BED BIG BIT BOX BOY BUS BUT BUY CAN CAR CAT
CUP CUT DAY DID DIE DOG DRY DUE EAR EAT EGG END EYE FAR FEW FIT FIX FLY FOR FUN GAS GET GOD GOT
GUN HAD HAS HAT HER HIM HIS HIT HOT HOW ICE ILL ITS JOB JOY KEY KID LAW LAY LET LIE LOT LOW MAN
MAP MAY MEN MIX MOM NEW NOR NOT NOW OFF OIL OLD ONE OUR OUT OWN PAY PER PUT RAN RED RUN SAD SAT
SAW SAY SEA SEE SET SHE SIT SIX SKY SON SUN TAX TEN THE TOO TOP TRY TWO USE VAN WAR WAS WAY WET
WHO WHY WIN WON YES YET YOU ZIP ROM RAM PIN SIM GIF JAR
"""
_LETTERS, _WORDS = frozenset(_SPELLED.split()), frozenset(_COMMON.split())
_HEALTH = re.compile(r"(?<=[a-z]he )WHO(?![A-Za-z.]| [A-Z]{2})")
_AMPERSAND = re.compile(r"(?<![A-Za-z])([A-Z]{1,3})&([A-Z]{1,2})(?![A-Za-z])")


def read_acronyms(text: str) -> str:
    """Add full stops to acronyms that are spelled out: "FBI" becomes "F.B.I.".

    Acronyms read as words, such as NASA, and other words in capitals are unchanged.
    """
    if "&" in text:
        text = _AMPERSAND.sub(lambda m: f"{_dotted(m[1])} and {_dotted(m[2])}", text)
    return _RUN.sub(_run, _HEALTH.sub("W.H.O.", text))


def _run(match: re.Match[str]) -> str:
    words = _WORD.findall(match[0])
    shouted = len(words) > 1 and any(w not in _LETTERS and _is_word(w) for w in words)
    spoken = _WORD.sub(lambda m: m[0] if _kept(m[0], shouted) else _dotted(m[0]), match[0])
    # the full stop of the last letter also ends the sentence
    if spoken.endswith(".") and match.string[match.end() : match.end() + 1] == ".":
        return spoken[:-1]
    return spoken


def _dotted(word: str) -> str:
    return word if len(word) == 1 else ".".join(word) + "."


def _kept(word: str, shouted: bool) -> bool:
    if not re.search("[AEIOUY]", word):
        return len(word) > 6
    if shouted:
        return True
    return word not in _LETTERS and _is_word(word)


def _is_word(word: str) -> bool:
    """Return True for common words of up to three letters and for pronounceable ones."""
    if len(word) <= 3:
        return word in _WORDS
    return re.search("[AEIOUY]", word) is not None and not re.search(
        "^[^AEIOUY]{3}(?<!STR)(?<!SCH)(?<!SPR)(?<!THR)(?<!SCR)(?<!SPL)(?<!SHR)(?<!CHR)(?<!PHR)",
        word,
    )
