"""Batches for training: endless, prefetched by workers, and resumable at any batch."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from lhotse import CutSet, MonoCut
from torch.utils.data import DataLoader, Dataset

from speechseq.corpus import place
from speechseq.corpus.bucketing import Plan
from speechseq.corpus.metadata import SHOWN
from speechseq.corpus.worker_signals import heed_parent_alone
from speechseq.errors import ConfigError, DataError, SpeechseqError


@runtime_checkable
class Collate(Protocol):
    """Protocol of a function that makes a batch of a list of lhotse cuts, such as TTSCollate.

    `Batches` calls it. It also needs the method `frames`, which returns the number of frames of a
    cut in a batch without reading the sound; batches are planned by it.
    """

    def __call__(self, cuts: Sequence[MonoCut]) -> Any: ...
    def frames(self, cut: MonoCut) -> int: ...


class Batches:
    """Endless batches of a corpus for training, epoch after epoch, resumable at any batch.

    Every utterance occurs once per epoch. A batch holds at most `frames_per_batch` frames, padding
    included, and at most `max_utterances`; a longer utterance is a batch of its own.

    Args:
        cuts: the corpus; its order does not matter when shuffled.
        collate: function that makes a batch of cuts, in the workers; see `Collate`.
        frames_per_batch: maximum frames of a batch, as `collate.frames` counts them.
        seed: seed that determines the epochs, together with their numbers.
        workers: number of processes that prefetch; the batches do not depend on it.
        shuffle: if False, each epoch goes from the longest to the shortest.
        max_utterances: maximum number of utterances of a batch; None for no limit.
        short_first_epochs: number of first epochs that go from the shortest to the longest.
        longest_frames: maximum frames of an utterance; longer ones are refused at the start, so
            that memory does not run out late in an epoch. None for no limit.

    Attributes:
        epoch, position: epoch and index in it of the next batch.

    Raises:
        ConfigError: a number is out of range.
        DataError: there are no cuts, an id is repeated, or cuts have no frames or more than
            `longest_frames`.

    Examples:
        >>> batches = Batches(cuts, collate, frames_per_batch=2000, seed=0)
        >>> batch = next(batches)
        >>> batches.state_dict()["position"]
        0
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
        short_first_epochs: int = 0,
        longest_frames: int | None = None,
    ) -> None:
        most = len(cuts) if max_utterances is None else max_utterances
        if frames_per_batch < 1 or workers < 0 or (most < 1 and len(cuts)):
            raise ConfigError("frames_per_batch and max_utterances start at 1, workers at 0")
        if short_first_epochs < 0 or (longest_frames is not None and longest_frames < 1):
            raise ConfigError("short_first_epochs start at 0, longest_frames at 1")
        self._cuts = sorted(cuts, key=lambda cut: cut.id)
        frames = tuple(collate.frames(cut) for cut in self._cuts)
        _check(self._cuts, frames, longest_frames)
        self._plan = Plan(
            frames=frames,
            budget=frames_per_batch,
            most=most,
            seed=seed,
            shuffle=shuffle,
            short_first_epochs=short_first_epochs,
        )
        self._numbers = {
            "utterances": len(self._cuts),
            "frames": sum(frames),
            "frames_per_batch": frames_per_batch,
            "max_utterances": max_utterances,
            "seed": seed,
            "shuffle": shuffle,
            "short_first_epochs": short_first_epochs,
        }
        self._collate, self._workers = collate, workers
        self._ahead: Iterator[Any] | None = None
        self.epoch = self.position = 0
        self._batches_of_epoch = self._plan.count(0)

    def plan(self, epoch: int) -> list[list[str]]:
        """Return the batches of an epoch, counted from 0, in order: lists of utterances' ids."""
        return [[self._cuts[i].id for i in batch] for batch in self._plan.epoch(epoch)]

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> Any:
        if self._ahead is None:
            self._ahead = iter(self._loader())
        batch = next(self._ahead)
        if isinstance(batch, SpeechseqError):
            self._ahead = None  # ends the workers now, not when the traceback is freed
            raise batch
        self.position += 1
        if self.position == self._batches_of_epoch:
            self.epoch, self.position = self.epoch + 1, 0
            self._batches_of_epoch = self._plan.count(self.epoch)
        return batch

    def one_epoch(self) -> Iterator[Any]:
        """Yield batches that have every utterance once, from the longest to the shortest.

        They are loaded in this process, for example for a validation; the position in the training
        does not change.
        """
        for batch in self._plan.sorted_epoch():
            yield self._collate([self._cuts[i] for i in batch])

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the data, as plain data to be saved with a checkpoint.

        Batches that workers have prefetched do not count before they are returned.
        """
        return place.save(self.epoch, self.position, self._fingerprint(), self._numbers)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the last batch that the saved run consumed.

        If the corpus, the seed or a limit has changed, the saved epoch starts again with the new
        batches, and a warning names the changes. `state` is a result of `state_dict`.
        """
        self.epoch, self.position = place.find(
            state, self._fingerprint(), self._numbers, self._plan.count
        )
        self._batches_of_epoch = self._plan.count(self.epoch)
        self._ahead = None

    def _loader(self) -> DataLoader:
        return DataLoader(
            _Collated(self._cuts, self._collate),
            batch_size=None,
            # without a reference to `self`: a reference cycle would end the workers late
            sampler=_endless(self._plan, self.epoch, self.position),
            num_workers=self._workers,
            worker_init_fn=heed_parent_alone,
            # its own generator: the default would consume the model's random state
            generator=torch.Generator().manual_seed(self._plan.seed),
        )

    def _fingerprint(self) -> int:
        facts = repr([[cut.id for cut in self._cuts], self._plan])
        return int.from_bytes(hashlib.sha256(facts.encode()).digest()[:7])


def _endless(plan: Plan, epoch: int, position: int) -> Iterator[list[int]]:
    while True:
        yield from plan.epoch(epoch)[position:]
        epoch, position = epoch + 1, 0


class _Collated(Dataset):
    """Dataset that maps the indices of cuts to their batch, for the workers."""

    def __init__(self, cuts: list[MonoCut], collate: Collate) -> None:
        self._cuts, self._collate = cuts, collate

    def __getitem__(self, batch: list[int]) -> Any:
        try:
            return self._collate([self._cuts[i] for i in batch])
        except SpeechseqError as error:
            return error  # raised in a worker, it would hold the worker's traceback as text


def _check(cuts: list[MonoCut], frames: tuple[int, ...], longest: int | None) -> None:
    if not cuts:
        raise DataError("no cuts to make batches of")
    for before, after in itertools.pairwise(cuts):
        if before.id == after.id:
            raise DataError(f"the cut id {after.id!r} stands twice", "name every cut once")
    for cut, count in zip(cuts, frames, strict=True):
        if count < 1:
            raise DataError(f"{cut.id}: 0 frames", "leave it out: it is shorter than a frame")
    if longest is not None:
        _refuse_long(
            [f"{c.id}: {n} frames" for c, n in zip(cuts, frames, strict=True) if n > longest],
            longest,
        )


def _refuse_long(found: list[str], longest: int) -> None:
    if found:
        listed = "\n  ".join(found[:SHOWN])
        raise DataError(
            f"{len(found)} utterances are longer than {longest} frames:\n  {listed}",
            "cut them or leave them out, or raise --longest_frames if memory allows",
        )
