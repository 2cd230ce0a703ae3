"""Connected strings: words where the alignment says, one voice, nothing that tells the joints."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from lhotse import CutSet

from speechseq.corpus import digit_strings, fsdd, generated_folder
from speechseq.corpus.spoken_digits import WORDS
from speechseq.errors import ConfigError, DataError

RATE = 8000
VOICES = ("ann", "bob")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published layout: two speakers, four recordings of each digit, a tone of its own."""
    folder = tmp_path_factory.mktemp("published") / "recordings"
    folder.mkdir()
    chance = np.random.default_rng(0)
    for speaker in VOICES:
        for digit in range(10):
            for index in (0, 1, 5, 6):
                length = 800 + 100 * index + 10 * digit
                tone = 0.3 * np.sin(2 * np.pi * (300 + 100 * digit) * np.arange(length) / RATE)
                sound = tone * (np.arange(length) > 200) + 0.003 * chance.standard_normal(length)
                path = folder / f"{digit}_{speaker}_{index}.wav"
                soundfile.write(path, sound, RATE, subtype="PCM_16")
    return folder.parent


@pytest.fixture(scope="module")
def train(root: Path) -> CutSet:
    """The recordings 5 and 6 of each digit."""
    return fsdd.read(root).train


def _words(cut: Any) -> list:
    return cut.supervisions[0].alignment["word"]


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "wavs").iterdir()}


def test_each_word_lies_sample_for_sample_where_the_alignment_says(
    train: CutSet, tmp_path: Path
) -> None:
    strings = digit_strings.make(train, tmp_path / "a", utterances=20, gain=(0.0, 0.0))
    plan = json.loads((tmp_path / "a" / generated_folder.MANIFEST).read_text("utf-8"))
    recordings = {cut.id: soundfile.read(_path(cut), dtype="int16")[0] for cut in train}
    for cut, utterance in zip(strings, plan["utterances"], strict=True):
        samples = soundfile.read(_path(cut), dtype="int16")[0]
        assert len(samples) == cut.num_samples == utterance["samples"]
        assert " ".join(item.symbol for item in _words(cut)) == cut.supervisions[0].text
        for item, piece in zip(_words(cut), utterance["words"], strict=True):
            start = round(item.start * RATE)
            end = round(item.end * RATE)
            assert WORDS[int(piece["id"][0])] == item.symbol
            assert np.array_equal(samples[start:end], recordings[piece["id"]])


def _path(cut: Any) -> str:
    return cut.recording.sources[0].source


def test_pauses_are_noise_as_loud_as_what_words_stand_on(train: CutSet, tmp_path: Path) -> None:
    strings = digit_strings.make(
        train, tmp_path / "a", utterances=10, shortest=3, pause=(0.05, 0.1), gain=(-6.0, 0.0)
    )
    for cut in strings:
        samples = soundfile.read(_path(cut))[0]
        ends = [0, *(round(item.end * RATE) for item in _words(cut))]
        starts = [*(round(item.start * RATE) for item in _words(cut)), len(samples)]
        for end, start in zip(ends, starts, strict=True):
            pause = samples[end:start]
            assert 0.05 * RATE - 1 <= len(pause) <= 0.1 * RATE + 1
            assert 0.003 / 4 < pause.std() < 0.003 * 2  # the recordings' own noise is 0.003
            assert np.count_nonzero(pause) > 0.9 * len(pause)


def test_the_same_call_makes_the_same_bytes_and_another_seed_others(
    train: CutSet, tmp_path: Path
) -> None:
    digit_strings.make(train, tmp_path / "a", utterances=8, seed=3)
    digit_strings.make(train.shuffle(), tmp_path / "b" / "deeper", utterances=8, seed=3)
    digit_strings.make(train, tmp_path / "c", utterances=8, seed=4)
    assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b" / "deeper")
    assert _bytes(tmp_path / "a") != _bytes(tmp_path / "c")
    more = digit_strings.make(train, tmp_path / "d", utterances=9, seed=3)
    assert _bytes(tmp_path / "a").items() <= _bytes(tmp_path / "d").items()
    assert len(more) == 9


def test_a_folder_that_fits_is_used_and_one_of_other_recordings_is_made_anew(
    root: Path, tmp_path: Path
) -> None:
    train = fsdd.read(shutil.copytree(root, tmp_path / "copy")).train
    first = digit_strings.make(train, tmp_path / "a", utterances=3)
    wav = Path(_path(first[0]))
    good, date = wav.read_bytes(), wav.stat().st_mtime_ns
    digit_strings.make(train, tmp_path / "a", utterances=3)
    assert wav.stat().st_mtime_ns == date
    wav.write_bytes(good[:-1] + b"\1")
    digit_strings.make(train, tmp_path / "a", utterances=3)
    assert wav.read_bytes() == good
    for cut in train:
        source = Path(_path(cut))
        samples, rate = soundfile.read(source, dtype="int16")
        soundfile.write(source, samples // 2, rate, subtype="PCM_16")
    digit_strings.make(train, tmp_path / "a", utterances=3)
    assert wav.read_bytes() != good


def test_lengths_words_and_speakers_are_drawn_evenly(train: CutSet, tmp_path: Path) -> None:
    strings = digit_strings.make(train, tmp_path / "a", utterances=150, shortest=2, longest=4)
    texts = [cut.supervisions[0].text.split() for cut in strings]
    lengths = Counter(map(len, texts))
    assert sorted(lengths) == [2, 3, 4]
    assert min(lengths.values()) > 35
    words = Counter(word for text in texts for word in text)
    assert sorted(words) == sorted(WORDS)
    assert min(words.values()) > 0.07 * words.total()
    speakers = Counter(cut.supervisions[0].speaker for cut in strings)
    assert sorted(speakers) == list(VOICES)
    assert min(speakers.values()) > 60


def test_train_and_test_strings_share_no_recording_and_no_string_two_voices(
    root: Path, tmp_path: Path
) -> None:
    used = []
    for part in fsdd.read(root):
        digit_strings.make(part, tmp_path / "a", utterances=80)
        plan = json.loads((tmp_path / "a" / generated_folder.MANIFEST).read_text("utf-8"))
        ids = [{piece["id"] for piece in u["words"]} for u in plan["utterances"]]
        assert all(len({id.split("_")[1] for id in of}) == 1 for of in ids)
        used.append(set().union(*ids))
    assert len(used[0]) == 40  # so many strings use each of the 60 recordings
    assert not used[0] & used[1]


def test_speakers_can_be_chosen_and_left_out(train: CutSet, tmp_path: Path) -> None:
    only = digit_strings.make(train, tmp_path / "a", utterances=5, speakers=("ann",))
    rest = digit_strings.make(train, tmp_path / "b", utterances=5, without=("ann",))
    assert {cut.supervisions[0].speaker for cut in only} == {"ann"}
    assert {cut.supervisions[0].speaker for cut in rest} == {"bob"}
    with pytest.raises(ConfigError) as caught:
        digit_strings.make(train, tmp_path / "c", utterances=5, without=("anna",))
    assert "did you mean 'ann'?" in caught.value.cure
    with pytest.raises(ConfigError, match="none is left"):
        digit_strings.make(train, tmp_path / "c", utterances=5, without=VOICES)


def test_seventy_words_join_too(train: CutSet, tmp_path: Path) -> None:
    (cut,) = digit_strings.make(train, tmp_path / "a", utterances=1, shortest=70, longest=70)
    assert len(_words(cut)) == 70
    assert _words(cut)[-1].end <= cut.duration


@pytest.mark.parametrize(
    "wrong",
    [
        {"utterances": 0},
        {"seed": -1},
        {"shortest": 0},
        {"shortest": 3, "longest": 2},
        {"pause": (-0.1, 0.1)},
        {"pause": (0.2, 0.1)},
        {"gain": (0.0, 3.0)},
    ],
)
def test_numbers_that_make_no_sense_are_refused(train: CutSet, tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(ConfigError):
        digit_strings.make(train, tmp_path / "a", **({"utterances": 1} | wrong))
    assert not (tmp_path / "a").exists()


def test_recordings_that_do_not_fit_are_refused_by_name(train: CutSet, tmp_path: Path) -> None:
    half = CutSet.from_cuts([train[0].truncate(duration=0.05), *list(train)[1:]])
    for cuts, message in (
        (train.filter(lambda cut: cut.id[:5] != "7_ann"), "'ann' has no recording of seven"),
        (half, "is not a whole file"),
        (train.drop_supervisions(), "no text or no speaker"),
    ):
        with pytest.raises(DataError, match=message):
            digit_strings.make(CutSet.from_cuts(cuts), tmp_path / "a", utterances=1)


def test_noise_stands_so_many_db_below_the_string_that_it_is_added_to(
    train: CutSet, tmp_path: Path
) -> None:
    numbers: dict[str, Any] = {"utterances": 6, "gain": (-12.0, -12.0)}
    plain = digit_strings.make(train, tmp_path / "plain", **numbers)
    noisy = digit_strings.make(train, tmp_path / "noisy", snr=(5.0, 25.0), **numbers)
    plan = json.loads((tmp_path / "noisy" / generated_folder.MANIFEST).read_text("utf-8"))
    ratios = []
    for a, b, utterance in zip(plain, noisy, plan["utterances"], strict=True):
        clean, samples = (soundfile.read(_path(cut))[0] for cut in (a, b))
        power = np.square(clean).mean() / np.square(samples - clean).mean()
        ratios.append(10 * np.log10(power))
        assert abs(ratios[-1] - utterance["snr"]) < 0.1
    assert min(ratios) + 0.1 >= 5
    assert max(ratios) <= 25.1
    assert max(ratios) - min(ratios) > 3
