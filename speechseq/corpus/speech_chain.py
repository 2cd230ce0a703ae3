"""Corpus of the speech chain: digit strings by several espeak voices, other than the TTS corpus."""

import dataclasses
from collections.abc import Collection
from pathlib import Path

from lhotse import CutSet

from speechseq.config import Config
from speechseq.corpus import spoken_digits
from speechseq.corpus.espeak import Pitch, Rate
from speechseq.ranges import Count, Seed


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeechChainConfig(Config):
    """Settings of `make`, and of the synthesiser that the trained recogniser transcribes later.

    Attributes:
        voice: run or checkpoint of a synthesiser that can say digits, such as that of
            recipes/tts/any_sentence.py or recipes/tts/spoken_digits.py.
        voice_strings: number of digit strings that the synthesiser says.
        voice_seed: seed of these strings; the default gives the test strings of
            recipes/tts/spoken_digits.py.
        utterances: number of strings for training the recogniser, spoken by espeak.
        test_utterances: number of strings for its test.
        voices: names of espeak's voices, one of which is drawn for every string.
        rates: rates to draw from, in words per minute.
        pitches: pitches to draw from, 0 to 99 in espeak's scale.
    """

    voice: str = "runs/demo/voice"
    voice_strings: Count = 20
    voice_seed: Seed = 0
    utterances: Count = 1200
    test_utterances: Count = 60
    voices: tuple[str, ...] = ("en-us", "en-gb", "en-gb-scotland", "en-us+m3", "en-gb-x-rp")
    rates: tuple[Rate, ...] = (120, 140, 160, 180)
    pitches: tuple[Pitch, ...] = (30, 50, 70)


def make(
    config: SpeechChainConfig, folder: Path, *, seed: int, exclude: Collection[str]
) -> tuple[CutSet, CutSet]:
    """Speak digit strings by espeak for training and test of a recogniser; no string is in both.

    Args:
        config: numbers of strings, and espeak's settings.
        folder: folder of the corpus, with a folder for each part.
        seed: seed of the strings.
        exclude: strings that are in neither part, such as those that a synthesiser says.

    Returns:
        The cuts of training and test.

    Raises:
        ConfigError, DataError, MachineError: see `spoken_digits.make`.
    """
    return spoken_digits.make_split(
        folder,
        utterances=config.utterances,
        test_utterances=config.test_utterances,
        seed=seed,
        test_seed=seed + 2,
        exclude=exclude,
        voices=config.voices,
        rates=config.rates,
        pitches=config.pitches,
    )
