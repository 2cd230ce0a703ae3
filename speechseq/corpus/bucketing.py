"""Bucketing: batches of utterances of similar length, with little padding, under a frame budget.

lhotse's DynamicBucketingSampler also keeps padding under 5 %, but needs so many buckets for it that
it fills batches to less than half on a small corpus (365 utterances of LJSpeech, up to 31 per
batch: 29 batches instead of 13). Also, its state counts the utterances sent to prefetching workers,
not those trained on. Therefore a whole epoch is planned here, from its seed and number.
"""

import dataclasses
import math
import random

MOST_PADDING = 0.05  # of a planned epoch, wherever the budget allows it
_BATCH_PRICE = 0.2  # of the budget: the fixed cost of a batch, in frames of padding
_JITTERS = (0.03, 0.02, 0.01, 0.0)  # relative noise of lengths, so that batches change


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Groups utterances of similar length into batches, for every epoch of a training.

    `epoch` returns the batches of an epoch, as lists of indices into `frames`. `Batches` uses it.

    Attributes:
        frames: number of frames of each utterance.
        budget: maximum frames of a batch, padding included; a longer utterance is a batch of its
            own.
        most: maximum utterances of a batch.
        seed: seed that determines each epoch, together with its number.
        shuffle: if False, every epoch goes from the longest to the shortest.
        short_first_epochs: number of first epochs that go from the shortest to the longest,
            regardless of `shuffle`: short utterances are aligned first (Amodei 2016, SortaGrad).
    """

    frames: tuple[int, ...]
    budget: int
    most: int
    seed: int
    shuffle: bool
    short_first_epochs: int = 0

    def epoch(self, number: int) -> list[list[int]]:
        """Return the batches of epoch `number`, counted from 0, as lists of indices."""
        if number < self.short_first_epochs:
            return self.sorted_epoch()[::-1]
        rng = random.Random(f"{self.seed} {number}")
        if not self.shuffle:
            return self.sorted_epoch()
        for jitter in _JITTERS:
            batches = self._filled(self._order(jitter, rng))
            if self.padding(batches) <= MOST_PADDING:
                break
        else:  # a small corpus and a large budget pad more anyway, so let batches change
            batches = self._filled(self._order(_JITTERS[0], rng))
        rng.shuffle(batches)
        return batches

    def count(self, number: int) -> int:
        """Number of batches of epoch `number`, counted from 0."""
        return len(self.epoch(number))

    def sorted_epoch(self) -> list[list[int]]:
        """Return batches with every utterance once, ordered from the longest to the shortest."""
        return self._filled(self._order(0.0, random.Random(0)))

    def padding(self, batches: list[list[int]]) -> float:
        """Return the share of padding in all frames of batches (lists of indices), from 0 to 1."""
        held = sum(len(batch) * max(self.frames[i] for i in batch) for batch in batches)
        return 1 - sum(self.frames) / held

    def _order(self, jitter: float, rng: random.Random) -> list[int]:
        blurred = [count * (1 + jitter * rng.uniform(-1, 1)) for count in self.frames]
        return sorted(range(len(blurred)), key=lambda i: -blurred[i])

    def _filled(self, order: list[int]) -> list[list[int]]:
        """Cut the order into batches with the fewest frames in all, padding included.

        Each batch has a fixed cost; without it, batches of one utterance would be the best.
        Filling one batch after the other instead pads about a tenth more (LJSpeech, 365
        utterances).
        """
        price = _BATCH_PRICE * self.budget
        best, before = [0.0] + [math.inf] * len(order), [0] * (len(order) + 1)
        for start in range(len(order)):
            longest = 0
            for end in range(start + 1, min(start + self.most, len(order)) + 1):
                longest = max(longest, self.frames[order[end - 1]])
                held = longest * (end - start)
                if held > self.budget and end > start + 1:
                    break
                if (cost := best[start] + held + price) < best[end]:
                    best[end], before[end] = cost, start
        batches: list[list[int]] = []
        end = len(order)
        while end:
            batches.append(order[before[end] : end])
            end = before[end]
        return batches[::-1]
