"""Batches: nobody lost, little padding, and a resumed run that cannot be told from another."""

import itertools
import json
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet, MonoCut

from speechseq.audio.mel import AudioConfig
from speechseq.corpus import features, metadata
from speechseq.corpus.bucketing import MOST_PADDING
from speechseq.corpus.collate import TTSCollate
from speechseq.corpus.sampling import Batches
from speechseq.errors import ConfigError, DataError
from speechseq.text.vocabulary import Vocabulary

AUDIO = AudioConfig()


class Ids:
    """A collate that only says who is in the batch."""

    def frames(self, cut: MonoCut) -> int:
        return int(cut.duration)

    def __call__(self, cuts: Sequence[MonoCut]) -> tuple[str, ...]:
        if any(cut.id == "bad" for cut in cuts):
            raise DataError("bad: no text", "give it one")
        return tuple(cut.id for cut in cuts)


def _cuts(frames: Sequence[int]) -> CutSet:
    return CutSet.from_cuts(MonoCut(f"{i:05d}", 0, int(n), 0) for i, n in enumerate(frames))


def _noise(count: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(50, 900, count).tolist()


def _padding(batches: Batches, frames: Sequence[int], epoch: int) -> float:
    plan = batches.plan(epoch)
    held = sum(len(batch) * max(frames[int(id)] for id in batch) for batch in plan)
    return 1 - sum(frames) / held


@pytest.mark.parametrize("budget", [1, 400, 900, 5000, 10**6])
@pytest.mark.parametrize("most", [None, 1, 7])
@pytest.mark.parametrize("shuffle", [True, False])
def test_trap_32_nobody_is_lost_and_no_batch_overflows(
    budget: int, most: int | None, shuffle: bool
) -> None:
    frames = _noise(101)
    batches = Batches(
        _cuts(frames),
        Ids(),
        frames_per_batch=budget,
        seed=0,
        max_utterances=most,
        shuffle=shuffle,
    )
    for epoch in range(3):
        plan = batches.plan(epoch)
        assert sorted(itertools.chain(*plan)) == [f"{i:05d}" for i in range(101)]
        for batch in plan:
            longest = max(frames[int(id)] for id in batch)
            assert len(batch) == 1 or len(batch) * longest <= budget
            assert 1 <= len(batch) <= (most or 101)


def _real_frames(root: Path) -> tuple[list[int], list[int]]:
    """Frames of 365 real utterances, and of all 13,100 as their texts foretell them.

    Seconds follow characters as in the real ones (a line and the spread around it), within the
    published 1.11 to 10.10 s; the sum is 24.2 hours, published are 23.9.
    """
    rows, _ = metadata.rows(root / "metadata.csv")
    seconds = [soundfile.info(root / "wavs" / f"{row.id}.flac").duration for row in rows]
    letters = np.array([len(row.normalized) for row in rows])
    line = np.polyfit(letters, seconds, 1)
    spread = (np.array(seconds) - np.polyval(line, letters)).std()
    everything, _ = metadata.rows(root.parent / "text" / "ljspeech_metadata.csv")
    full = np.polyval(line, [len(row.normalized) for row in everything])
    full = (full + np.random.default_rng(0).normal(0, spread, len(full))).clip(1.11, 10.10)
    return [1 + int(s * 22050) // 256 for s in seconds], [1 + int(s * 22050) // 256 for s in full]


@pytest.mark.parametrize("utterances", [4, 8, 16, 24, 32])
def test_padding_on_ljspeech_is_at_most_five_percent(real_ljspeech: Path, utterances: int) -> None:
    for frames in _real_frames(real_ljspeech):
        budget = round(utterances * float(np.mean(frames)))
        batches = Batches(_cuts(frames), Ids(), frames_per_batch=budget, seed=1)
        for epoch in range(2):
            assert _padding(batches, frames, epoch) <= 0.05
            held = sum(frames) / len(batches.plan(epoch)) / budget
            assert held > 0.8  # and the budget is used, not dodged by small batches


def test_the_plan_follows_from_seed_and_epoch_alone() -> None:
    cuts = _cuts(_noise(300))
    first = Batches(cuts, Ids(), frames_per_batch=9000, seed=1)
    again = Batches(cuts.shuffle(), Ids(), frames_per_batch=9000, seed=1)
    other = Batches(cuts, Ids(), frames_per_batch=9000, seed=2)
    assert first.plan(3) == again.plan(3)
    assert first.plan(3) != other.plan(3)
    mates = [{frozenset(batch) for batch in first.plan(epoch)} for epoch in (0, 1)]
    assert len(mates[0] & mates[1]) < 0.5 * len(mates[0])  # new company, not only a new order


def _take(batches: Iterator[Any], count: int) -> list[Any]:
    return list(itertools.islice(batches, count))


@pytest.mark.parametrize("short_first", [0, 1])
@pytest.mark.parametrize("shuffle", [True, False])
def test_resume_equals_uninterrupted_from_any_batch_on(shuffle: bool, short_first: int) -> None:
    options: dict[str, Any] = {"frames_per_batch": 3000, "seed": 4, "shuffle": shuffle}
    options |= {"short_first_epochs": short_first}
    cuts = _cuts(_noise(30))
    whole = _take(Batches(cuts, Ids(), **options), 20)
    length = len(Batches(cuts, Ids(), **options).plan(0))
    assert length < 10  # so that the runs below cross epochs
    assert sorted(itertools.chain(*whole[:length])) == [f"{i:05d}" for i in range(30)]
    for stop in range(20):
        saved = Batches(cuts, Ids(), **options)
        _take(saved, stop)
        state = json.loads(json.dumps(saved.state_dict()))
        assert {"epoch", "position", "corpus"} < state.keys()
        resumed = Batches(cuts, Ids(), **options)
        _take(resumed, 3)  # whatever it did before
        resumed.load_state_dict(state)
        assert _take(resumed, 20 - stop) == whole[stop:]
        assert resumed.state_dict() != state or stop == 20


def test_short_utterances_come_first_and_only_as_long_as_told() -> None:
    frames = _noise(60)
    plain = Batches(_cuts(frames), Ids(), frames_per_batch=3000, seed=4)
    grown = Batches(_cuts(frames), Ids(), frames_per_batch=3000, seed=4, short_first_epochs=2)
    for epoch in (0, 1):
        longest = [max(frames[int(id)] for id in batch) for batch in grown.plan(epoch)]
        shortest = [min(frames[int(id)] for id in batch) for batch in grown.plan(epoch)]
        assert all(a <= b for a, b in zip(longest, shortest[1:], strict=False))
        assert sorted(itertools.chain(*grown.plan(epoch))) == [f"{i:05d}" for i in range(60)]
    assert grown.plan(2) == plain.plan(2)
    assert [list(batch) for batch in _take(grown, 3)] == grown.plan(0)[:3]


def test_an_utterance_too_long_for_memory_is_refused_before_the_first_batch() -> None:
    cuts = _cuts([5, 600, 7, 601])
    with pytest.raises(DataError, match="2 utterances are longer than 599 frames") as caught:
        Batches(cuts, Ids(), frames_per_batch=50, seed=0, longest_frames=599)
    assert "00001: 600 frames\n  00003: 601 frames" in caught.value.problem
    rest = Batches(cuts.subset(first=3), Ids(), frames_per_batch=50, seed=0, longest_frames=600)
    assert sorted(itertools.chain(*_take(rest, 2))) == ["00000", "00001", "00002"]


def test_two_workers_change_nothing_and_what_they_loaded_ahead_is_not_consumed(
    cuts: CutSet, tmp_path: Path
) -> None:
    done = features.compute(cuts, AUDIO, tmp_path)
    collate = TTSCollate(Vocabulary.characters(), AUDIO, frame_multiple=2)
    options: dict[str, Any] = {"frames_per_batch": 120, "seed": 4}
    plain = Batches(done, collate, **options)
    whole = _take(plain, 12)
    ahead = Batches(done, collate, workers=2, **options)
    random_state = torch.get_rng_state()
    first = _take(ahead, 5)
    resumed = Batches(done, collate, workers=2, **options)
    resumed.load_state_dict(ahead.state_dict())
    rest = _take(resumed, 7)
    assert torch.equal(torch.get_rng_state(), random_state)  # the model's dropout goes on as before
    for batch, other in zip(whole, first + rest, strict=True):
        assert batch.ids == other.ids
        assert torch.equal(batch.mel, other.mel)
        assert torch.equal(batch.tokens, other.tokens)
    assert resumed.state_dict() == plain.state_dict()


def test_workers_end_with_their_batches() -> None:
    others = set(multiprocessing.active_children())
    batches = Batches(_cuts(_noise(30)), Ids(), frames_per_batch=3000, seed=4, workers=2)
    next(batches)
    workers = set(multiprocessing.active_children()) - others
    assert len(workers) == 2
    begin = time.monotonic()
    del batches
    assert not any(worker.is_alive() for worker in workers)
    assert time.monotonic() - begin < 4  # torch gives up waiting for one after 5 s


OTHER_BATCHES: dict[str, tuple[int, dict[str, Any], str]] = {
    "fewer cuts": (29, {}, "utterances: 30 before, 29 now; frames: "),
    "more cuts": (40, {}, "utterances: 30 before, 40 now; frames: "),
    "another budget": (30, {"frames_per_batch": 1500}, "frames_per_batch: 3000 before, 1500 now"),
    "another limit": (30, {"max_utterances": 2}, "max_utterances: None before, 2 now"),
    "another seed": (30, {"seed": 5}, "seed: 4 before, 5 now"),
    "short ones first": (30, {"short_first_epochs": 1}, "short_first_epochs: 0 before, 1 now"),
}


@pytest.mark.parametrize("changed", OTHER_BATCHES)
def test_with_other_batches_the_saved_epoch_begins_anew_and_the_change_is_named(
    changed: str,
) -> None:
    count, options, named = OTHER_BATCHES[changed]
    known: dict[str, Any] = {"frames_per_batch": 3000, "seed": 4}
    saved = Batches(_cuts(_noise(30)), Ids(), **known)
    _take(saved, len(saved.plan(0)) + 2)
    other = Batches(_cuts(_noise(count)), Ids(), **known | options)
    with pytest.warns(UserWarning, match=named) as told:
        other.load_state_dict(saved.state_dict())
    assert "epoch 1 begins anew" in str(told[0].message)
    assert (other.epoch, other.position) == (1, 0)
    batches = len(other.plan(1))
    assert [list(batch) for batch in _take(other, batches)] == other.plan(1)
    assert (other.epoch, other.position) == (2, 0)


def test_a_state_of_before_the_numbers_were_saved_still_tells_other_batches() -> None:
    batches = Batches(_cuts(_noise(30)), Ids(), frames_per_batch=3000, seed=4)
    next(batches)
    state = batches.state_dict()
    del state["numbers"]
    batches.load_state_dict(state)
    assert batches.position == 1
    other = Batches(_cuts(_noise(29)), Ids(), frames_per_batch=3000, seed=4)
    with pytest.warns(UserWarning, match="the utterances, or one of utterances, frames"):
        other.load_state_dict(state)


@pytest.mark.parametrize("place", [{"position": 10**9}, {"epoch": -1}, {"position": "2"}])
def test_a_place_that_no_epoch_has_is_refused(place: dict[str, Any]) -> None:
    batches = Batches(_cuts(_noise(30)), Ids(), frames_per_batch=3000, seed=4)
    with pytest.raises(ValueError, match="epoch"):
        batches.load_state_dict(batches.state_dict() | place)


def test_validation_sees_everyone_once_and_does_not_move_training() -> None:
    batches = Batches(_cuts(_noise(30)), Ids(), frames_per_batch=3000, seed=4)
    first = next(batches)
    seen = list(batches.one_epoch())
    assert sorted(itertools.chain(*seen)) == [f"{i:05d}" for i in range(30)]
    assert seen == list(batches.one_epoch())
    again = Batches(_cuts(_noise(30)), Ids(), frames_per_batch=3000, seed=4)
    assert [first, next(batches)] == _take(again, 2)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_worker_reaches_people_without_its_traceback(workers: int) -> None:
    cuts = CutSet.from_cuts([MonoCut("bad", 0, 10, 0)])
    with pytest.raises(DataError) as caught:
        next(Batches(cuts, Ids(), frames_per_batch=10, seed=0, workers=workers))
    assert (caught.value.problem, caught.value.cure) == ("bad: no text", "give it one")


def test_what_makes_no_sense_is_refused() -> None:
    cuts = _cuts([5, 6])
    for wrong in (
        {"frames_per_batch": 0},
        {"workers": -1},
        {"max_utterances": 0},
        {"short_first_epochs": -1},
        {"longest_frames": 0},
    ):
        with pytest.raises(ConfigError):
            Batches(cuts, Ids(), **({"frames_per_batch": 9, "seed": 0} | wrong))
    with pytest.raises(DataError, match="no cuts"):
        Batches(_cuts([]), Ids(), frames_per_batch=9, seed=0)
    with pytest.raises(DataError, match="00001: 0 frames"):
        Batches(_cuts([5, 0]), Ids(), frames_per_batch=9, seed=0)
    with pytest.raises(DataError, match="stands twice"):
        Batches(cuts + cuts, Ids(), frames_per_batch=9, seed=0)


def test_blurring_gives_way_where_it_would_cost_too_much() -> None:
    frames = list(range(400, 800, 4))  # eight a batch: with 3 % of blur above 5 %
    batches = Batches(_cuts(frames), Ids(), frames_per_batch=5000, seed=0)
    assert all(_padding(batches, frames, epoch) <= MOST_PADDING for epoch in range(20))
    few = Batches(_cuts(_noise(40)), Ids(), frames_per_batch=3_800, seed=0)
    plans = {frozenset(map(frozenset, few.plan(epoch))) for epoch in range(10)}
    assert len(plans) > 5  # padding cannot be little here; company still changes
