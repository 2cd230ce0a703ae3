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
    """Settings of `make_split`: digit strings spoken by espeak with drawn pitch, rate and volume.

    The default voice is high, because 80 mel bands at 22 kHz resolve the harmonics of a low voice
    badly.

    Attributes:
        utterances: number of strings for training.
        test_utterances: number of strings for the test.
        voices: names of espeak's voices to draw from.
    """

    utterances: Count = 1700
    test_utterances: Count = 60
    voices: Annotated[tuple[str, ...], Items(1, 100)] = ("en-us+f4",)


def make_split(config: KnownProsodyConfig, folder: Path, *, seed: int) -> tuple[CutSet, CutSet]:
    """Speak digit strings with known prosody for training and test; no string is in both.

    Args:
        config: numbers of strings, and voices.
        folder: folder of the corpus, with a folder for each part.
        seed: seed of texts and prosody.

    Returns:
        The cuts of training and test.

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
    """Speak different digit strings with drawn prosody by espeak; one lhotse cut for each.

    Voice, pitch, pitch range, rate and volume are drawn uniformly (from the ranges in `FACTORS`),
    independently of the text and of one another. `supervision.custom` and the utterances in the
    manifest have the drawn values as "voice", "pitch", "range", "rate" and "volume". The speaker of
    a cut is its voice. The same call gives the same bytes on every machine; `espeak.speak`
    describes the folder.

    Args:
        folder: folder of the corpus.
        utterances: number of strings; the default is an hour of speech.
        seed: seed of texts and prosody.
        held_out: draw from the voices `HELD_OUT` instead of `VOICES`, and other texts and prosody.
        voices: espeak's voices to draw from; empty for `VOICES` or `HELD_OUT`.
        shortest: minimum number of digits; the number is drawn uniformly.
        longest: maximum number of digits.
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
    """Make an utterance of each text, with a random voice, pitch, pitch range, rate and volume.

    Each of these factors has a random stream of its own, so they do not affect one another.

    Args:
        texts: what is spoken.
        seed: seed of the draws.
        voices: names of espeak's voices to draw from; the other factors come from the ranges
            `FACTORS`.

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
