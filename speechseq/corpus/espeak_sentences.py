"""English sentences spoken by many espeak voices: open-vocabulary recognition without downloads."""

import dataclasses
import random
from collections.abc import Collection, Sequence
from pathlib import Path

from lhotse import CutSet

from speechseq.config import Config
from speechseq.corpus.espeak import drawn, speak
from speechseq.corpus.sentence_grammar import sentence
from speechseq.corpus.sentences import Sentence
from speechseq.errors import ConfigError
from speechseq.file_writing import replace_file
from speechseq.ranges import Count

# All are reproducible byte for byte, unlike the breathy +f2, +f3 and +f5. Unseen voices are a man
# and a woman of seen accents, and an unseen accent.
SEEN_VOICES = (
    "en-us",
    "en-us+m1",
    "en-us+m3",
    "en-us+f1",
    "en-us-nyc+m6",
    "en-gb",
    "en-gb+m2",
    "en-gb+f1",
    "en-gb-x-rp+m5",
    "en-gb-x-rp+m7",
)
UNSEEN_VOICES = ("en-us+m4", "en-gb+f4", "en-gb-scotland")
RATES = (140, 160, 180, 200)
PITCHES = (35, 50, 65)
MARGIN = 0.05  # seconds of silence at both ends: espeak's own vary from 0 to 50 ms
_PATIENCE = 100  # draws for each requested sentence


def texts(
    count: int, seed: int, *, exclude: Collection[str] = (), known: Collection[str] = ()
) -> list[str]:
    """Draw different sentences from a grammar, such as "anna sold nine hats last week".

    To draw test sentences, pass the training texts as `exclude` and as `known`: the sentences are
    then new, but all their words occur in the training.

    Args:
        count: number of sentences.
        seed: seed of the draws.
        exclude: sentences that are never drawn.
        known: texts; only sentences all of whose words occur in them are drawn. Empty for any
            words.

    Raises:
        ConfigError: fewer than `count` sentences can be found.
    """
    rng = random.Random(f"{seed} sentences")
    taken = set(exclude)
    chosen: list[str] = []
    words = {word for text in known for word in text.split()}
    for _ in range(_PATIENCE * count):
        if len(chosen) == count:
            break
        text = sentence(rng)
        if text not in taken and (not words or words.issuperset(text.split())):
            taken.add(text)
            chosen.append(text)
    if len(chosen) < count:
        raise ConfigError(
            f"only {len(chosen)} of {count} sentences were found", "ask for fewer, or know more"
        )
    return chosen


def draw(count: int, seed: int, *, exclude: Collection[str] = ()) -> list[Sentence]:
    """Draw sentences, no two alike, from the grammar of `texts`, to train a language model.

    Args:
        count: number of sentences.
        seed: seed of the draws.
        exclude: sentences that are never drawn, such as those of a test.

    Raises:
        ConfigError: see `texts`.
    """
    drawn_texts = texts(count, seed, exclude=exclude)
    return [Sentence(id=f"grammar-{i}", text=text) for i, text in enumerate(drawn_texts)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EspeakSentencesConfig(Config):
    """Settings of `make_splits`: a corpus of sentences of a grammar, spoken by espeak.

    Attributes:
        utterances: number of sentences for training.
        test_utterances: number of sentences for each of the two tests.
    """

    utterances: Count = 6000
    test_utterances: Count = 200


def make_splits(config: EspeakSentencesConfig, folder: Path, seed: int) -> dict[str, CutSet]:
    """Speak a training set and two test sets, one of the training's voices and one of others.

    The three sets share no sentence. The texts of both tests are written to `folder`/test.txt, so
    that a language model can exclude them.

    Args:
        config: numbers of sentences.
        folder: folder of the corpus.
        seed: seed of all draws.

    Returns:
        The cuts of each set by its name: "train", "seen voices" and "unseen voices".

    Raises:
        ConfigError, DataError, MachineError: see `make`.
    """
    tests: dict[str, CutSet] = {}
    said: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    for offset, (name, voices) in enumerate((("seen", SEEN_VOICES), ("unseen", UNSEEN_VOICES)), 1):
        cuts = make(
            folder / f"{name}_voices",
            utterances=config.test_utterances,
            seed=seed + offset,
            voices=voices,
            exclude=said,
        )
        said += [cut.supervisions[0].text for cut in cuts]
        tests[f"{name} voices"] = cuts
    replace_file(folder / "test.txt", "".join(f"{text}\n" for text in said).encode())
    train = make(folder / "train", utterances=config.utterances, seed=seed, exclude=said)
    return {"train": train, **tests}


def make(
    folder: Path | str,
    *,
    utterances: int,
    seed: int = 0,
    exclude: Collection[str] = (),
    known: Collection[str] = (),
    voices: Sequence[str] = SEEN_VOICES,
    rates: Sequence[int] = RATES,
    pitches: Sequence[int] = PITCHES,
    margin: float = MARGIN,
) -> CutSet:
    """Speak different sentences of a grammar by espeak into `folder`/wavs; one lhotse cut for each.

    Voice (the supervision's speaker), rate and pitch are drawn for each sentence. A folder that has
    the same sounds already is reused.

    Args:
        folder: folder of the corpus.
        utterances: number of sentences.
        seed: seed of all draws.
        exclude: sentences that are never drawn, see `texts`.
        known: texts in which all words of the sentences must occur, see `texts`.
        voices: names of espeak's voices to draw from.
        rates: rates to draw from, in words per minute.
        pitches: pitches to draw from, 0 to 99 in espeak's scale.
        margin: seconds of silence at both ends.

    Raises:
        ConfigError, DataError, MachineError: see `texts` and `speak`.
    """
    said = texts(utterances, seed, exclude=exclude, known=known)
    plan = drawn("sentence", said, seed, voices, rates, pitches)
    return speak(plan, folder, margin=margin)
