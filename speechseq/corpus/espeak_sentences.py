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
    """Draw different sentences of `sentence_grammar`, such as "anna sold nine hats last week".

    Args:
        count: number of sentences.
        seed: seed of the draws.
        exclude: sentences that are never drawn.
        known: texts all of whose words are known; only sentences of these words are drawn, if
            given. To draw test sentences, pass the training texts as both.

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
    """Draw `count` different sentences of the grammar for a language model, none of `exclude`.

    The same `seed` draws the same sentences.

    Raises:
        ConfigError: see `texts`.
    """
    drawn_texts = texts(count, seed, exclude=exclude)
    return [Sentence(id=f"grammar-{i}", text=text) for i, text in enumerate(drawn_texts)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EspeakSentencesConfig(Config):
    """Settings of the corpus of sentences spoken by espeak.

    Attributes:
        utterances, test_utterances: number of sentences for training, and for each of both tests.
    """

    utterances: Count = 6000
    test_utterances: Count = 200


def make_splits(config: EspeakSentencesConfig, folder: Path, seed: int) -> dict[str, CutSet]:
    """Speak the sentences of three splits: "train", "seen voices" and "unseen voices" (tests).

    "train" and "seen voices" have the same voices. The three splits share no sentence. The texts of
    both tests are written to `folder`/test.txt, so that a language model can exclude them. `config`
    has the numbers of sentences, and `seed` draws them. Returns the cuts of each split by its name.

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
    """Speak `utterances` different sentences into `folder`/wavs, and return a lhotse cut for each.

    Voice (the supervision's speaker), rate and pitch are drawn for each utterance. A folder that
    has the same sounds already is reused.

    Args:
        folder: folder of the corpus.
        utterances: number of sentences.
        seed: seed of sentences and draws.
        exclude, known: arguments of `texts`: sentences never drawn; texts whose words are used.
        voices, rates, pitches: values to draw from: espeak's names, words per minute, 0 to 99.
        margin: seconds of silence at both ends.

    Raises:
        ConfigError, DataError, MachineError: see `texts` and `speak`.
    """
    said = texts(utterances, seed, exclude=exclude, known=known)
    plan = drawn("sentence", said, seed, voices, rates, pitches)
    return speak(plan, folder, margin=margin)
