"""Laws of joining: words stand unchanged where the alignment says, on the background asked for."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import CutSet

from speechseq.config import Config
from speechseq.corpus import digit_strings, fsdd, generated_folder
from speechseq.corpus.joining import JoiningConfig, join, room_tone, sound
from speechseq.corpus.joining_ways import LEARNED, TESTED, learned
from speechseq.errors import ConfigError

RATE = 8000
CLEAN = (0.0, 0.0)
QUIET = {
    name: way
    for name, way in {**TESTED, **dict(enumerate(LEARNED))}.items()
    if way.snr is None and not any(way.offset) and not way.clicks
}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> CutSet:
    """Two speakers, two recordings of each digit; edges of one louder than of the other."""
    folder = tmp_path_factory.mktemp("published") / "recordings"
    folder.mkdir()
    chance = np.random.default_rng(0)
    for speaker, edge in (("ann", 0.002), ("bob", 0.02)):
        for digit in range(10):
            for index in (0, 5, 6):
                length = 1600 + 100 * index + 10 * digit
                tone = 0.3 * np.sin(2 * np.pi * (300 + 100 * digit) * np.arange(length) / RATE)
                samples = tone * (np.arange(length) > 400) + edge * chance.standard_normal(length)
                soundfile.write(folder / f"{digit}_{speaker}_{index}.wav", samples, RATE)
    return fsdd.read(folder.parent).train


def joined_strings(recordings: CutSet, folder: Path, *ways: JoiningConfig, **numbers) -> list[dict]:
    """Each string: its plan, its samples, its cut."""
    numbers = {"utterances": 6, "shortest": 2, "longest": 4, "seed": 3} | numbers
    cuts = digit_strings.make(recordings, folder, ways=ways, **numbers)
    plan = json.loads((folder / generated_folder.MANIFEST).read_text("utf-8"))["utterances"]
    paths = [cut.recording.sources[0].source for cut in cuts]
    return [
        utterance | {"sound": soundfile.read(path)[0], "cut": cut}
        for utterance, path, cut in zip(plan, paths, cuts, strict=True)
    ]


def gaps(utterance: dict) -> list[np.ndarray]:
    """Samples before, between and after the words."""
    words, samples = utterance["words"], utterance["sound"]
    ends = [0, *(word["start"] + word["samples"] for word in words)]
    starts = [*(word["start"] for word in words), len(samples)]
    return [samples[a:b] for a, b in zip(ends, starts, strict=True)]


@pytest.mark.parametrize("way", QUIET.values(), ids=map(str, QUIET))
def test_words_stand_unchanged_at_the_places_of_the_alignment(recordings, tmp_path, way):
    sounds = {cut.id: soundfile.read(cut.recording.sources[0].source)[0] for cut in recordings}
    for utterance in joined_strings(recordings, tmp_path / "a", way):
        spans = utterance["cut"].supervisions[0].alignment["word"]
        for word, span in zip(utterance["words"], spans, strict=True):
            begin, own = round(span.start * RATE), sounds[word["id"]]
            found = utterance["sound"][begin : begin + len(own)]
            assert np.abs(found - 10 ** (word["gain"] / 20) * own).max() <= 1 / 32768
            assert way.gain[0] <= word["gain"] <= way.gain[1]


@pytest.mark.parametrize("name", TESTED)
def test_pauses_and_edges_are_as_long_as_asked(recordings, tmp_path, name):
    way = TESTED[name]
    first_last = way.edges or way.pause
    for utterance in joined_strings(recordings, tmp_path / "a", way):
        first, *between, last = [len(gap) / RATE for gap in gaps(utterance)]
        for length, span in (
            (first, first_last),
            (last, first_last),
            *((x, way.pause) for x in between),
        ):
            assert span[0] - 1e-4 <= length <= span[1] + 1e-4


def test_silence_is_zeros_and_noise_is_as_loud_as_asked(recordings, tmp_path):
    long = {"pause": (0.2, 0.4), "gain": CLEAN}
    for utterance in joined_strings(
        recordings, tmp_path / "a", JoiningConfig(background="silence", **long)
    ):
        assert not any(gap.any() for gap in gaps(utterance))
    noise = JoiningConfig(background="noise", level=(-40.0, -40.0), **long)
    for utterance in joined_strings(recordings, tmp_path / "b", noise):
        loudness = np.sqrt(np.square(np.concatenate(gaps(utterance))).mean())
        assert abs(20 * np.log10(loudness) + 40) < 2


def test_room_tone_is_another_speaker_s(recordings, tmp_path):
    way = JoiningConfig(background="room", pause=(0.2, 0.4), gain=CLEAN)
    for utterance in joined_strings(recordings, tmp_path / "a", way):
        assert utterance["speaker"] not in utterance["room"]
        loudness = np.sqrt(np.square(np.concatenate(gaps(utterance))).mean())
        edge = 0.02 if "bob" in utterance["room"] else 0.002
        assert edge / 1.5 < loudness < 1.5 * edge


def test_room_tone_has_the_spectrum_of_the_edge():
    hum = 0.01 * np.sin(2 * np.pi * 1000 * np.arange(4000) / RATE)
    loud = 0.5 * np.sin(2 * np.pi * 300 * np.arange(4000) / RATE)
    tone = room_tone(np.concatenate([hum, loud]), RATE, RATE, np.random.default_rng(0))
    spectrum = np.abs(np.fft.rfft(tone))
    assert 900 < spectrum.argmax() < 1100
    assert abs(np.sqrt(np.square(tone).mean()) - 0.00707) < 0.002


def test_every_way_joins_the_same_recordings_but_where_speakers_mix(recordings, tmp_path):
    plans = {
        name: [(u["speaker"], [word["id"] for word in u["words"]]) for u in strings]
        for name, way in TESTED.items()
        for strings in [joined_strings(recordings, tmp_path / str(len(name)) / name[:4], way)]
    }
    for name, way in TESTED.items():
        if not way.mixed:
            assert plans[name] == plans["own"]
    voices = [{id.split("_")[1] for id in ids} for _, ids in plans["mixed speakers"]]
    assert {"ann", "bob"} in voices


def test_offset_and_clicks_are_added(recordings, tmp_path):
    plain = joined_strings(recordings, tmp_path / "a", JoiningConfig())
    moved = joined_strings(recordings, tmp_path / "b", JoiningConfig(offset=(0.05, 0.05)))
    clicked = joined_strings(recordings, tmp_path / "c", JoiningConfig(clicks=5.0))
    for one, other, third in zip(plain, moved, clicked, strict=True):
        np.testing.assert_allclose(other["sound"] - one["sound"], 0.05, atol=1e-4)
        apart = np.flatnonzero(np.abs(third["sound"] - one["sound"]) > 2 / 32768)
        assert 0 < len(apart) <= len(third["clicks"])
        assert set(apart) <= {place for place, _ in third["clicks"]}


def test_the_way_is_drawn_for_each_string_and_seeds_repeat(recordings, tmp_path):
    numbers = {"utterances": 40, "seed": 5}
    first = joined_strings(recordings, tmp_path / "a", *LEARNED, **numbers)
    again = joined_strings(recordings, tmp_path / "b", *LEARNED, **numbers)
    assert all(np.array_equal(a["sound"], b["sound"]) for a, b in zip(first, again, strict=True))
    backgrounds = {u.get("background", "words") for u in first}
    assert backgrounds == {"words", "silence", "noise", "room"}


def test_noise_over_the_string_is_learned_beside_each_way():
    assert learned() == LEARNED
    assert learned((5.0, 40.0))[: len(LEARNED)] == LEARNED
    assert {way.snr for way in learned((5.0, 40.0))} == {None, (5.0, 40.0)}


def test_loud_sums_are_clipped():
    loud = {"one": sound(np.full(100, 0.9, dtype=np.float32), RATE)}
    word = {"id": "one", "start": 10, "samples": 100, "gain": 0.0}
    utterance = {"samples": 120, "words": [word], "background": "silence", "offset": 0.5}
    joined = join(utterance, loud, np.random.default_rng(0), RATE)
    assert joined.dtype == np.float32
    assert joined.max() == 1.0
    assert joined[:10].tolist() == [0.5] * 10


@pytest.mark.parametrize(
    "numbers",
    [
        {"pause": (0.3, 0.1)},
        {"pause": (float("nan"), 0.1)},
        {"edges": (-1.0, 1.0)},
        {"edges": (0.0, float("inf"))},
        {"level": (-40.0, 3.0)},
        {"gain": (0.0, 1.0)},
        {"offset": (0.0, 2.0)},
        {"snr": (9.0, 3.0)},
        {"clicks": -1.0},
        {"clicks": float("nan")},
    ],
)
def test_ranges_that_make_no_sense_are_refused_by_name(numbers):
    with pytest.raises(ConfigError, match=next(iter(numbers))):
        JoiningConfig(**numbers)


def test_a_way_is_plain_data_and_back():
    way = dataclasses.replace(TESTED["mixed, silence"], snr=(5.0, 10.0), edges=(0.0, 1.0))
    assert isinstance(way, Config)
    assert JoiningConfig.from_dict(json.loads(json.dumps(way.to_dict()))) == way
