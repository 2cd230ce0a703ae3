"""Digit strings with known prosody: espeak's voice, pitch, range, rate and volume are drawn."""

import dataclasses
import os
import random
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

from lhotse import CutSet

from speechseq.config import Config
from speechseq.corpus import spoken_digits
from speechseq.corpus.espeak import ProsodyUtterance, speak
from speechseq.ranges import Count, Items, Range, checked

# Variants whose F0 follows pitch and range, and that differ in formants or pitch. None is breathy:
# the noise of +f2, +f3 and +f5 is seeded by the clock, so that their bytes differ from run to run.
VOICES = tuple(
    f"en-us+{variant}"
    for variant in (
        *("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f4", "Alex", "Andrea"),
        *("anika", "Denis", "Gene", "grandma", "Henrique", "Lee", "linda", "Michael"),
        *("michel", "Nguyen", "norbert", "steph"),
    )
)
HELD_OUT = tuple(
    f"en-us+{variant}"
    for variant in ("aunty", "belinda", "Diogo", "Gene2", "john", "kaukovalta", "miguel", "shelby")
)
FACTORS = {  # espeak's numbers, both ends included
    "pitch": (10, 90),
    "range": (0, 99),
    "rate": (100, 260),  # words a minute
    "volume": (30, 150),  # 100 is espeak's own
}
MARGIN = spoken_digits.MARGIN
_BATCH = 128  # utterances that one process says, whatever the number of processes


@dataclasses.dataclass(frozen=True, kw_only=True)
class KnownProsodyConfig(Config):
    """Settings of the corpus of digit strings with known prosody.

    The default voice is high, because 80 mel bands at 22 kHz resolve the harmonics of a low voice
    badly.

    Attributes:
        utterances, test_utterances: number of strings for training and test.
        voices: names of espeak's voices to draw from.
    """

    utterances: Count = 1700
    test_utterances: Count = 60
    voices: Annotated[tuple[str, ...], Items(1, 100)] = ("en-us+f4",)


def make_split(config: KnownProsodyConfig, folder: Path, *, seed: int) -> tuple[CutSet, CutSet]:
    """Speak digit strings for training and for the test, into two folders of `folder`.

    `config` has the numbers of strings, and `seed` draws texts and prosody. No string is in both.
    Returns the cuts of training and test.

    Raises:
        ConfigError, DataError, MachineError: see `make`.
    """
    test = make(
        folder / "test",
        utterances=config.test_utterances,
        seed=seed + 1,
        voices=config.voices,
    )
    texts = [cut.supervisions[0].text for cut in test]
    train = make(
        folder / "train",
        utterances=config.utterances,
        seed=seed,
        voices=config.voices,
        exclude=texts,
    )
    return train, test


def make(
    folder: Path | str,
    *,
    utterances: int = 2250,
    seed: int = 0,
    held_out: bool = False,
    voices: Sequence[str] = (),
    shortest: int = 2,
    longest: int = 7,
    exclude: Collection[str] = (),
    processes: int | None = None,
) -> CutSet:
    """Speak `utterances` different digit strings into `folder`, and return one lhotse cut for each.

    Voice, pitch, pitch range, rate and volume are drawn uniformly (from the ranges in `FACTORS`),
    independently of the text and of one another. `supervision.custom` and the rows of the manifest
    have their values as "voice", "pitch", "range", "rate" and "volume". The speaker of a cut is its
    voice. The same call gives the same bytes on every machine; `espeak.speak` describes the folder.

    Args:
        utterances: the default is an hour of speech.
        held_out: draw from the voices `HELD_OUT` instead of `VOICES`, and other texts and factors.
        voices: espeak's voices to draw from; empty for `VOICES` or `HELD_OUT`.
        shortest, longest: range of the number of digits; their number is drawn uniformly.
        exclude: texts that are never spoken, such as those of a test.
        processes: number of processes; None for one per CPU, at most 8. The bytes do not depend on
            it.

    Raises:
        ConfigError, DataError, MachineError: see `spoken_digits.texts` and `espeak.speak`.
    """
    seed = checked("seed", seed, Annotated[int, Range(0, 2**62)])
    utterances = checked("utterances", utterances, Count)
    stream = 2 * seed + held_out
    said = spoken_digits.texts(
        utterances, stream, shortest=shortest, longest=longest, exclude=exclude
    )
    plan = draw(said, stream, voices or (HELD_OUT if held_out else VOICES))
    processes = min(8, os.cpu_count() or 1) if processes is None else processes
    cuts = speak(plan, folder, margin=MARGIN, batch=_BATCH, processes=processes)
    for cut, utterance in zip(cuts, plan, strict=True):
        cut.supervisions[0].custom = {"voice": utterance.voice} | {
            name: getattr(utterance, name) for name in FACTORS
        }
    return cuts


def draw(texts: Sequence[str], seed: int, voices: Sequence[str]) -> list[ProsodyUtterance]:
    """Draw voice, pitch, pitch range, rate and volume for each text, from `voices` and `FACTORS`.

    Each factor has a random stream of its own, made of `seed`, so the factors do not affect one
    another.

    Raises:
        ConfigError, DataError: see `espeak.Utterance`.
    """
    of_voice = random.Random(f"{seed} voice")
    of = {name: random.Random(f"{seed} {name}") for name in FACTORS}
    return [
        ProsodyUtterance(
            id=f"prosody-{i:05d}",
            text=text,
            voice=of_voice.choice(voices),
            pitch=of["pitch"].randint(*FACTORS["pitch"]),
            range=of["range"].randint(*FACTORS["range"]),
            rate=of["rate"].randint(*FACTORS["rate"]),
            volume=of["volume"].randint(*FACTORS["volume"]),
        )
        for i, text in enumerate(texts)
    ]
