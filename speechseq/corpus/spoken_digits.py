"""Strings of one to seven digits, spoken by espeak: a corpus for a first voice, made in seconds."""

import random
from collections.abc import Collection, Sequence
from pathlib import Path

from lhotse import CutSet

from speechseq.corpus.espeak import drawn, speak
from speechseq.errors import ConfigError

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MARGIN = 0.05  # seconds of silence at both ends: espeak's own vary from 0 to 50 ms


def texts(
    count: int,
    seed: int,
    *,
    shortest: int = 1,
    longest: int = 7,
    exclude: Collection[str] = (),
) -> list[str]:
    """`count` different strings such as "three one four", their lengths drawn evenly.

    Strings of `exclude` do not come, so that what is held out stays unseen. A length whose
    strings are used up is drawn no more.

    Raises:
        ConfigError: lengths that make no sense, or fewer different strings than asked for.
    """
    if not 1 <= shortest <= longest:
        raise ConfigError(f"lengths {shortest}–{longest} make no sense", "1 <= shortest <= longest")
    left = {length: 10**length for length in range(shortest, longest + 1)}
    taken = set(exclude)
    for text in taken:
        if _is_digits(text) and len(text.split()) in left:
            left[len(text.split())] -= 1
    if count > sum(left.values()):
        raise ConfigError(f"only {sum(left.values())} different strings are left, not {count}")
    chance = random.Random(seed)
    chosen: list[str] = []
    while len(chosen) < count:
        length = chance.choice([length for length, rest in left.items() if rest > 0])
        text = " ".join(chance.choices(WORDS, k=length))
        if text not in taken:
            taken.add(text)
            chosen.append(text)
            left[length] -= 1
    return chosen


def make(
    folder: Path | str,
    *,
    utterances: int,
    seed: int = 0,
    shortest: int = 1,
    longest: int = 7,
    exclude: Collection[str] = (),
    voices: Sequence[str] = ("en-us",),
    rates: Sequence[int] = (175,),
    pitches: Sequence[int] = (50,),
    margin: float = MARGIN,
) -> CutSet:
    """Speak so many digit strings, no text twice, into `folder`; see `speak` for what stands there.

    Each utterance draws its voice, rate and pitch from those given. 300 utterances with the
    defaults are 6.6 minutes of speech.

    Raises:
        ConfigError, DataError, MachineError: as `texts` and `speak`.
    """
    said = texts(utterances, seed, shortest=shortest, longest=longest, exclude=exclude)
    plan = drawn("digits", said, seed, voices, rates, pitches)
    return speak(plan, folder, margin=margin)


def _is_digits(text: str) -> bool:
    return bool(text) and all(word in WORDS for word in text.split(" "))
