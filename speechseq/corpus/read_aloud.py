"""Sentences of a text file read aloud by one espeak voice: a corpus for a voice of any sentence."""

import dataclasses
from pathlib import Path

from lhotse import CutSet

from speechseq.config import Config
from speechseq.corpus import sentences, spoken_digits
from speechseq.corpus.espeak import Pitch, Rate, speak
from speechseq.ranges import Count

MARGIN = 0.05  # seconds of silence at both ends: espeak's own vary from 0 to 50 ms


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadAloudConfig(Config):
    """Settings of `make`: sentences of a text file, spoken by espeak.

    Attributes:
        texts: text file with one sentence per line, or a folder of such files.
        test_sentences: number of sentences that are kept for the test.
        digit_strings: number of strings such as "three one four" that are added for training,
            because sentences seldom have a digit after a digit.
        voice: name of espeak's voice.
        words_per_minute: speaking rate of espeak.
        pitch: pitch, 0 to 99 in espeak's scale.
    """

    texts: str = "data/texts/ljspeech.txt"
    test_sentences: Count = 20
    digit_strings: Count = 60
    voice: str = "en-us"
    words_per_minute: Rate = 150
    pitch: Pitch = 50


def make(config: ReadAloudConfig, folder: Path, *, seed: int) -> tuple[CutSet, CutSet]:
    """Speak sentences by espeak for training (folder/train) and for the test (folder/test).

    No sentence is in both. A hash of the texts chooses the test, so that it is the same for each
    seed.

    Args:
        config: settings of the corpus.
        folder: folder of the corpus.
        seed: seed of the digit strings.

    Returns:
        The cuts of training and test.

    Raises:
        ConfigError: the file has too few sentences, the voice is unknown, or a number is out of
            range.
        DataError: the file is missing, damaged or empty, or a folder holds something else.
        MachineError: espeak is not installed or crashed, or the disk is full.
    """
    train, test = sentences.split(sentences.read(config.texts), config.test_sentences)
    said = [sentence.text for sentence in train]
    said += spoken_digits.texts(config.digit_strings, seed)

    def read(texts: list[str], part: Path) -> CutSet:
        return speak(
            texts,
            part,
            voice=config.voice,
            rate=config.words_per_minute,
            pitch=config.pitch,
            margin=MARGIN,
        )

    return read(said, folder / "train"), read([s.text for s in test], folder / "test")
