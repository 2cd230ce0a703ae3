"""Sentences for a language model: read from files, in endless and resumable batches."""

import dataclasses
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speechseq.batch import TextBatch
from speechseq.corpus import place
from speechseq.corpus.bucketing import Plan
from speechseq.corpus.texts import lengths, padded
from speechseq.errors import ConfigError, DataError
from speechseq.text.lines import decoded, numbered
from speechseq.text.vocabulary import PAD, TRANSCRIPT_CONTROLS, Vocabulary

_ID = re.compile(r"(?=\S*\d)\w+(?:[-.]\w+)+|\w*\d\w*_\w+")  # 1272-128104-0000, an4_test-1, LJ01_2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sentence:
    """Sentence to train or test a language model with; `read` makes them.

    Attributes:
        id: the id that begins its line, or else file and line.
        text: the sentence.
    """

    id: str
    text: str


def read(path: str | os.PathLike[str]) -> list[Sentence]:
    """Read the sentences of a text file, gzipped or not, one per line; empty lines are skipped.

    Lines may be plain, or begin with an id as LibriSpeech's transcripts do
    ("1272-128104-0000 MISTER QUILTER"): ids are removed if every line has a different one. Given a
    folder, all its *.txt files are read.

    Raises:
        DataError: the file is missing, damaged, not UTF-8, or holds no text.
    """
    given = Path(path)
    files = sorted(given.rglob("*.txt")) if given.is_dir() else [given]
    sentences = [sentence for file in files for sentence in _of_file(file)]
    if not sentences:
        raise DataError(f"{given}: holds no sentences", "give a text file, one sentence a line")
    return sentences


def split(sentences: Sequence[Sentence], held_out: int) -> tuple[list[Sentence], list[Sentence]]:
    """Split sentences into a training and a held-out part, chosen by a hash of the texts.

    A held-out text is not in the training part, even if it occurs several times. The choice does
    not depend on the order of the sentences.

    Args:
        sentences: sentences of a corpus.
        held_out: number of sentences of the second part.

    Raises:
        ConfigError: there are not more than `held_out` different texts.
    """
    texts = sorted(
        {s.text for s in sentences}, key=lambda text: hashlib.sha256(text.encode()).digest()
    )
    if not 0 < held_out < len(texts):
        raise ConfigError(f"{held_out} of {len(texts)} different sentences cannot be held out")
    kept_out = set(texts[:held_out])
    first = {s.text: s for s in reversed(sentences)}
    train = [s for s in sentences if s.text not in kept_out]
    return train, [first[text] for text in texts[:held_out]]


class SentenceBatches:
    """Endless batches (TextBatch) of sentences of similar length, for training a language model.

    Each epoch has every sentence once. The position can be saved and restored at any batch.

    Args:
        sentences: the corpus.
        vocabulary: vocabulary that encodes the sentences.
        tokens_per_batch: maximum tokens of a batch, padding included; a longer sentence is a batch
            of its own.
        seed: seed that determines the epochs, together with their numbers.

    Attributes:
        epoch: epoch of the next batch.
        position: index in the epoch of the next batch.

    Raises:
        ConfigError: `tokens_per_batch` is below 1, or the vocabulary lacks the control symbols of a
            recogniser.
        DataError: there are no sentences, or a sentence has unknown symbols; the message names it.
    """

    def __init__(
        self,
        sentences: Sequence[Sentence],
        vocabulary: Vocabulary,
        *,
        tokens_per_batch: int,
        seed: int,
    ) -> None:
        if tokens_per_batch < 1:
            raise ConfigError(f"tokens_per_batch: {tokens_per_batch} is not positive")
        if vocabulary.controls != TRANSCRIPT_CONTROLS:
            controls = ", ".join(vocabulary.controls)
            raise ConfigError(
                f"a vocabulary with the controls {controls} is no recogniser's",
                "name a recogniser: --recogniser RUN; or use Vocabulary.transcripts, words, pieces",
            )
        if not sentences:
            raise DataError("no sentences to make batches of")
        self._ids = [sentence.id for sentence in sentences]
        self._tokens = [_encoded(sentence, vocabulary) for sentence in sentences]
        counts = tuple(map(len, self._tokens))
        self._plan = Plan(
            frames=counts, budget=tokens_per_batch, most=len(counts), seed=seed, shuffle=True
        )
        self._fingerprint = _fingerprint(self._tokens, self._plan)
        self._numbers = {
            "sentences": len(counts),
            "tokens": sum(counts),
            "tokens_per_batch": tokens_per_batch,
            "seed": seed,
        }
        self._go_to(0, 0)

    def __iter__(self) -> "SentenceBatches":
        return self

    def __next__(self) -> TextBatch:
        batch = self._batch(self._batches[self.position])
        self.position += 1
        if self.position == len(self._batches):
            self._go_to(self.epoch + 1, 0)
        return batch

    def one_epoch(self) -> Iterator[TextBatch]:
        """Iterate over batches with every sentence once, from the longest to the shortest."""
        for places in self._plan.sorted_epoch():
            yield self._batch(places)

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the data, as plain data to be saved with a checkpoint."""
        return place.save(self.epoch, self.position, self._fingerprint, self._numbers)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the last batch that the saved run consumed.

        If the sentences, the seed or the budget have changed, the saved epoch starts again with the
        new batches, and a warning names the changes. `state` is a result of `state_dict`.
        """
        self._go_to(*place.find(state, self._fingerprint, self._numbers, self._plan.count))

    def _go_to(self, epoch: int, position: int) -> None:
        self.epoch, self.position = epoch, position
        self._batches = self._plan.epoch(epoch)

    def _batch(self, places: list[int]) -> TextBatch:
        tokens = [self._tokens[i] for i in places]
        return TextBatch(
            tokens=padded(tokens, PAD),
            token_lengths=lengths(tokens),
            ids=tuple(self._ids[i] for i in places),
        )


def _of_file(path: Path) -> list[Sentence]:
    lines = [(number, decoded(path, number, line)) for number, line in numbered(path)]
    kept = [(number, " ".join(line.split())) for number, line in lines if line.strip()]
    parts = [line.partition(" ") for _, line in kept]
    ids = {head for head, _, _ in parts if _ID.fullmatch(head)}
    if len(ids) == len(kept):
        return [Sentence(id=head, text=text) for head, _, text in parts if text]
    return [Sentence(id=f"{path.name}:{number}", text=line) for number, line in kept]


def _encoded(sentence: Sentence, vocabulary: Vocabulary) -> Tensor:
    try:
        return torch.tensor(vocabulary.encode(sentence.text))
    except DataError as error:
        raise DataError(f"{sentence.id}: {error.problem}", error.cure) from None


def _fingerprint(tokens: list[Tensor], plan: Plan) -> int:
    digest = hashlib.sha256(repr(plan).encode())
    for row in tokens:
        digest.update(row.numpy().tobytes())
    return int.from_bytes(digest.digest()[:7])
