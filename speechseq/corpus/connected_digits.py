"""Connected digits: strings joined from the Free Spoken Digit Dataset, for training and tests."""

import dataclasses
import random
from pathlib import Path
from typing import Annotated

from lhotse import CutSet

from speechseq.config import Config
from speechseq.corpus import (
    digit_strings,
    espeak_sentences,
    fsdd,
    joining_ways,
    spoken_digits,
    wordless,
)
from speechseq.ranges import BelowOne, Count, CountOrNone, Finite, Range

_RATES, _PITCHES = (110, 140, 170, 200), (20, 35, 50, 65)  # of synthetic strings


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConnectedDigitsConfig(Config):
    """Settings of `make`: a corpus of digit strings, joined from recordings of single digits.

    Attributes:
        root: folder of the recordings; see `fsdd.read`.
        held_out: speaker who occurs in the tests only; "" for the same speakers in all parts.
        utterances: number of training strings, of 1 to `longest` digits.
        test_utterances: number of test strings, of the same lengths.
        long_utterances: number of test strings that are ten times as long.
        joined_utterances: number of test strings for each way of joining; see `evaluation.joining`.
        longest: maximum number of digits of a string.
        wordless: number of training sounds without speech, whose transcripts are empty.
        synthetic: number of training strings spoken by espeak, which needs the extra `demo`.
        speed: maximum speed perturbation of training strings, as a share: 0.05 for 0.95 to 1.05.
        snr: range of signal-to-noise ratios in dB, for about half of the joined training strings;
            None adds no noise.
    """

    root: str = "data/raw/free-spoken-digit-dataset"
    held_out: str = ""
    utterances: Count = 4000
    test_utterances: Count = 200
    long_utterances: CountOrNone = 20
    joined_utterances: Count = 100
    longest: Annotated[int, Range(1, 1000)] = 7
    wordless: Count = 300
    synthetic: CountOrNone = 0
    speed: BelowOne = 0.05
    snr: tuple[Finite, Finite] | None = None

    @property
    def test_speakers(self) -> tuple[str, ...]:
        """Names of the speakers of the tests: the one that is held out, or () for all speakers."""
        return (self.held_out,) if self.held_out else ()


def make(
    config: ConnectedDigitsConfig, folder: Path, *, sample_rate: int, seed: int
) -> tuple[CutSet, dict[str, CutSet]]:
    """Make a corpus of connected digits: training strings, and two test sets from other recordings.

    Args:
        config: numbers of strings, and the folder of the recordings.
        folder: folder that the sounds are written to.
        sample_rate: samples per second of sounds without speech.
        seed: seed of all draws.

    Returns:
        The cuts of the training, and those of the tests by name, "short" and "long".

    Raises:
        ConfigError, DataError, MachineError: see `fsdd.read` and `digit_strings.make`.
    """
    train, test = fsdd.read(config.root)
    cuts = digit_strings.make(
        train,
        folder / "train",
        utterances=config.utterances,
        seed=seed,
        longest=config.longest,
        ways=joining_ways.learned(config.snr),
        without=config.test_speakers,
    )
    cuts += wordless.make(
        folder / "wordless",
        utterances=config.wordless,
        sample_rate=sample_rate,
        seed=seed,
        recordings=train.filter(lambda cut: cut.supervisions[0].speaker != config.held_out),
    )
    if config.synthetic:
        cuts += spoken_digits.make(
            folder / "synthetic",
            utterances=config.synthetic,
            seed=seed,
            longest=config.longest,
            voices=(*espeak_sentences.SEEN_VOICES, *espeak_sentences.UNSEEN_VOICES),
            rates=_RATES,
            pitches=_PITCHES,
        )
    return _perturbed(cuts, config.speed, seed), _tests(config, test, folder, seed)


def _perturbed(cuts: CutSet, speed: float, seed: int) -> CutSet:
    """Perturb the speed of each cut by a factor drawn from 1 - speed to 1 + speed."""
    rng, most = random.Random(seed), round(100 * speed)
    return CutSet.from_cuts(cut.perturb_speed(1 + rng.randint(-most, most) / 100) for cut in cuts)


def _tests(
    config: ConnectedDigitsConfig, recordings: CutSet, folder: Path, seed: int
) -> dict[str, CutSet]:
    most = 10 * config.longest
    lengths = {
        "short": (config.test_utterances, 1, config.longest),
        "long": (config.long_utterances, most * 5 // 7, most),
    }
    return {
        name: digit_strings.make(
            recordings,
            folder / name,
            utterances=count,
            seed=seed + 1,
            shortest=shortest,
            longest=longest,
            speakers=config.test_speakers,
        )
        for name, (count, shortest, longest) in lengths.items()
    }
