"""Batches of like lengths under a frame budget: a plan an epoch, and a place in it to resume from.

lhotse's DynamicBucketingSampler also keeps padding under 5 %, but with as many buckets as that
takes it fills batches to less than half on a small corpus (365 utterances of LJSpeech, room for 31
a batch: 29 batches where 13 do), and its state counts what it handed to the prefetching workers,
not what was trained on. So an epoch is planned here, whole, by its seed and number alone.
"""

import hashlib
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from lhotse import CutSet, MonoCut
from torch.utils.data import DataLoader, Dataset

from speechseq.errors import ConfigError, DataError, SpeechseqError

MOST_PADDING = 0.05  # of a planned epoch, wherever the budget allows it
_BATCH_PRICE = 0.2  # of the budget: what one more batch may cost in padding saved
_JITTERS = (0.03, 0.02, 0.01, 0.0)  # how far lengths are blurred, so that batchmates change
_WIDE_JITTER = 0.1


@runtime_checkable
class Collate(Protocol):
    """What makes a batch of cuts and knows how many frames a cut takes in it."""

    def __call__(self, cuts: Sequence[MonoCut]) -> Any: ...
    def frames(self, cut: MonoCut) -> int: ...


class Batches:
    """Endless batches, epoch after epoch, resumable from any one on.

    Every utterance comes once an epoch. A batch holds at most `frames_per_batch` frames, padding
    included, and at most `max_utterances`; an utterance longer than that is a batch of its own.

    Args:
        cuts: the corpus; its order does not matter when shuffled.
        collate: see `Collate`; it runs in the workers.
        frames_per_batch: budget of one batch, in frames as `collate.frames` counts them.
        seed: with the epoch's number it decides the epoch's plan, and nothing else does.
        workers: processes that load ahead; they change speed, never the batches.
        shuffle: otherwise each epoch goes from the longest to the shortest.
        max_utterances: of one batch; None for no limit.

    Attributes:
        epoch, position: the epoch and the batch in it that come next.

    Raises:
        ConfigError: numbers that make no sense.
        DataError: no cuts, an id twice, or a cut without frames.
    """

    def __init__(
        self,
        cuts: CutSet,
        collate: Collate,
        *,
        frames_per_batch: int,
        seed: int,
        workers: int = 0,
        shuffle: bool = True,
        max_utterances: int | None = None,
    ) -> None:
        most = len(cuts) if max_utterances is None else max_utterances
        if frames_per_batch < 1 or workers < 0 or (most < 1 and len(cuts)):
            raise ConfigError("frames_per_batch and max_utterances start at 1, workers at 0")
        self._cuts = sorted(cuts, key=lambda cut: cut.id)
        self._frames = [collate.frames(cut) for cut in self._cuts]
        _check(self._cuts, self._frames)
        self._collate = collate
        self._budget, self._most = frames_per_batch, most
        self._seed, self._shuffle, self._workers = seed, shuffle, workers
        self._ahead: Iterator[Any] | None = None
        self.epoch = self.position = 0
        self._batches_of_epoch = len(self.plan(0))

    def plan(self, epoch: int) -> list[list[str]]:
        """Ids of every batch of an epoch, in order; the longest utterance of each comes first."""
        return [[self._cuts[i].id for i in batch] for batch in self._plan(epoch)]

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> Any:
        if self._ahead is None:
            self._ahead = iter(self._loader(self._from_here()))
        batch = next(self._ahead)
        if isinstance(batch, SpeechseqError):
            self._ahead = None  # ends the workers now, not when the traceback is forgotten
            raise batch
        self.position += 1
        if self.position == self._batches_of_epoch:
            self.epoch, self.position = self.epoch + 1, 0
            self._batches_of_epoch = len(self._plan(self.epoch))
        return batch

    def one_epoch(self) -> Iterator[Any]:
        """Every utterance once, from the longest to the shortest, in this process."""
        for batch in self._filled(self._sorted(0.0, random.Random(0))):
            yield self._collate([self._cuts[i] for i in batch])

    def state_dict(self) -> dict[str, int]:
        """Where training stands: what was consumed, not what workers have loaded ahead."""
        return {"epoch": self.epoch, "position": self.position, "corpus": self._fingerprint()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after the last batch that the saved run consumed.

        Raises:
            DataError: the corpus, the seed or a limit is another one, so no batch would be alike.
        """
        if state["corpus"] != self._fingerprint():
            raise DataError(
                "resume: the corpus, seed, frames_per_batch or max_utterances has changed",
                "resume with those of the saved run, or start a new run from its weights",
            )
        self.epoch, self.position = state["epoch"], state["position"]
        self._batches_of_epoch = len(self._plan(self.epoch))
        self._ahead = None

    def _from_here(self) -> Iterator[list[int]]:
        epoch, position = self.epoch, self.position
        while True:
            yield from self._plan(epoch)[position:]
            epoch, position = epoch + 1, 0

    def _plan(self, epoch: int) -> list[list[int]]:
        chance = random.Random(f"{self._seed} {epoch}")
        if not self._shuffle:
            return self._filled(self._sorted(0.0, chance))
        for jitter in _JITTERS:
            batches = self._filled(self._sorted(jitter, chance))
            if self._padding(batches) <= MOST_PADDING:
                break
        else:  # a small corpus and a large budget pad more anyway: then let company change
            batches = self._filled(self._sorted(_WIDE_JITTER, chance))
        chance.shuffle(batches)
        return batches

    def _sorted(self, jitter: float, chance: random.Random) -> list[int]:
        blurred = [count * (1 + jitter * chance.uniform(-1, 1)) for count in self._frames]
        return sorted(range(len(blurred)), key=lambda i: -blurred[i])

    def _filled(self, order: list[int]) -> list[list[int]]:
        """Cut the order into batches that hold the fewest frames, padding included.

        Each batch costs something by itself, else the best were batches of one. Filling one after
        the other instead pads about a tenth more (LJSpeech, 365 utterances).
        """
        price = _BATCH_PRICE * self._budget
        best, before = [0.0] + [math.inf] * len(order), [0] * (len(order) + 1)
        for start in range(len(order)):
            longest = 0
            for end in range(start + 1, min(start + self._most, len(order)) + 1):
                longest = max(longest, self._frames[order[end - 1]])
                held = longest * (end - start)
                if held > self._budget and end > start + 1:
                    break
                if (cost := best[start] + held + price) < best[end]:
                    best[end], before[end] = cost, start
        batches: list[list[int]] = []
        end = len(order)
        while end:
            batches.append(order[before[end] : end])
            end = before[end]
        return batches[::-1]

    def _padding(self, batches: list[list[int]]) -> float:
        held = sum(len(batch) * max(self._frames[i] for i in batch) for batch in batches)
        return 1 - sum(self._frames) / held

    def _loader(self, plan: Iterator[list[int]]) -> DataLoader:
        return DataLoader(
            _Collated(self._cuts, self._collate),
            batch_size=None,
            sampler=plan,
            num_workers=self._workers,
            # its own generator: the default would take numbers from the model's random state
            generator=torch.Generator().manual_seed(self._seed),
        )

    def _fingerprint(self) -> int:
        facts = [
            [cut.id for cut in self._cuts],
            self._frames,
            [self._seed, self._budget, self._most, self._shuffle],
        ]
        return int.from_bytes(hashlib.sha256(repr(facts).encode()).digest()[:7])


class _Collated(Dataset):
    """The map from the places of some cuts to their batch, which workers carry out."""

    def __init__(self, cuts: list[MonoCut], collate: Collate) -> None:
        self._cuts, self._collate = cuts, collate

    def __getitem__(self, batch: list[int]) -> Any:
        try:
            return self._collate([self._cuts[i] for i in batch])
        except SpeechseqError as error:
            return error  # raised in a worker it would come with the worker's traceback as text


def _check(cuts: list[MonoCut], frames: list[int]) -> None:
    if not cuts:
        raise DataError("no cuts to make batches of")
    for before, after in itertools.pairwise(cuts):
        if before.id == after.id:
            raise DataError(f"the cut id {after.id!r} stands twice", "name every cut once")
    for cut, count in zip(cuts, frames, strict=True):
        if count < 1:
            raise DataError(f"{cut.id}: 0 frames", "leave it out: it is shorter than a frame")
