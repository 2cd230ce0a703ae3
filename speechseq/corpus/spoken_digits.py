"""Digit strings spoken by espeak, a corpus for a first synthesiser, generated in seconds."""

import dataclasses
import random
from collections.abc import Collection, Sequence
from pathlib import Path

from lhotse import CutSet

from speechseq.config import Config
from speechseq.corpus.espeak import Rate, drawn, speak
from speechseq.errors import ConfigError
from speechseq.ranges import Count

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MARGIN = 0.05  # seconds of silence at both ends: espeak's own vary from 0 to 50 ms


@dataclasses.dataclass(frozen=True, kw_only=True)
class OneVoiceConfig(Config):
    """Settings of `make_one_voice`: digit strings spoken by one espeak voice.

    Attributes:
        utterances: number of strings for training.
        test_utterances: number of strings for the test.
        voice: name of espeak's voice.
        words_per_minute: speaking rate.
    """

    utterances: Count = 400
    test_utterances: Count = 20
    voice: str = "en-us"
    words_per_minute: Rate = 150


def texts(
    count: int,
    seed: int,
    *,
    shortest: int = 1,
    longest: int = 7,
    exclude: Collection[str] = (),
) -> list[str]:
    """Draw different strings of digits such as "three one four", with uniformly drawn lengths.

    When all strings of a length have been drawn, that length is not drawn any more.

    Args:
        count: number of strings.
        seed: seed of the draws.
        shortest: minimum number of digits.
        longest: maximum number of digits.
        exclude: strings that are never drawn, such as those of a test.

    Raises:
        ConfigError: lengths out of range, or fewer than `count` different strings.
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
    rng = random.Random(seed)
    chosen: list[str] = []
    while len(chosen) < count:
        length = rng.choice([length for length, rest in left.items() if rest > 0])
        text = " ".join(rng.choices(WORDS, k=length))
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
    """Speak different digit strings by espeak into `folder`, and return one lhotse cut for each.

    Voice, rate and pitch are drawn for each string. 300 strings with the defaults are 6.6 minutes
    of speech. `espeak.speak` describes the content of the folder.

    Args:
        folder: folder of the corpus; one that has the same sounds already is reused.
        utterances: number of strings.
        seed: seed of all draws.
        shortest: minimum number of digits.
        longest: maximum number of digits.
        exclude: strings that are never drawn.
        voices: names of espeak's voices to draw from.
        rates: rates to draw from, in words per minute.
        pitches: pitches to draw from, 0 to 99 in espeak's scale.
        margin: seconds of silence at both ends.

    Raises:
        ConfigError, DataError, MachineError: see `texts` and `espeak.speak`.
    """
    said = texts(utterances, seed, shortest=shortest, longest=longest, exclude=exclude)
    plan = drawn("digits", said, seed, voices, rates, pitches)
    return speak(plan, folder, margin=margin)


def make_one_voice(config: OneVoiceConfig, folder: Path, *, seed: int) -> tuple[CutSet, CutSet]:
    """Speak digit strings by one espeak voice for training and test; no string is in both.

    Args:
        config: voice and numbers of strings.
        folder: folder of the corpus, with a folder for each part.
        seed: seed of the strings.

    Returns:
        The cuts of training and test.

    Raises:
        ConfigError, DataError, MachineError: see `make`.
    """
    return make_split(
        folder,
        utterances=config.utterances,
        test_utterances=config.test_utterances,
        seed=seed,
        test_seed=seed + 1,
        voices=(config.voice,),
        rates=(config.words_per_minute,),
    )


def make_split(
    folder: Path,
    *,
    utterances: int,
    test_utterances: int,
    seed: int,
    test_seed: int,
    exclude: Collection[str] = (),
    voices: Sequence[str] = ("en-us",),
    rates: Sequence[int] = (175,),
    pitches: Sequence[int] = (50,),
) -> tuple[CutSet, CutSet]:
    """Speak digit strings by several espeak voices for training and test; no string is in both.

    Args:
        folder: folder of the corpus; the parts are in folder/train and folder/test.
        utterances: number of strings for training.
        test_utterances: number of strings for the test.
        seed: seed of the strings for training.
        test_seed: seed of the strings for the test.
        exclude: strings that are in neither part.
        voices: names of espeak's voices to draw from.
        rates: rates to draw from, in words per minute.
        pitches: pitches to draw from, 0 to 99 in espeak's scale.

    Returns:
        The cuts of training and test.

    Raises:
        ConfigError, DataError, MachineError: see `make`.
    """
    test = make(
        folder / "test",
        utterances=test_utterances,
        seed=test_seed,
        exclude=exclude,
        voices=voices,
        rates=rates,
        pitches=pitches,
    )
    train = make(
        folder / "train",
        utterances=utterances,
        seed=seed,
        exclude=[*exclude, *(cut.supervisions[0].text for cut in test)],
        voices=voices,
        rates=rates,
        pitches=pitches,
    )
    return train, test


def _is_digits(text: str) -> bool:
    return bool(text) and all(word in WORDS for word in text.split(" "))
