"""Known prosody: factors independent of the text and of one another, bytes of the seed alone."""

import itertools
import json
import time
from pathlib import Path

import numpy as np
import pytest

from speechseq.corpus import espeak, generated_folder, known_prosody, spoken_digits
from speechseq.corpus.known_prosody import FACTORS, HELD_OUT, VOICES
from speechseq.errors import ConfigError


def _sums(folder: Path) -> dict[str, str]:
    return json.loads((folder / generated_folder.MANIFEST).read_text("utf-8"))["sha256"]


def test_factors_are_independent_of_the_text_and_of_one_another() -> None:
    """All pairs of columns, the voice as one column a voice: within 4.5 standard errors of 0."""
    texts = spoken_digits.texts(1500, seed=0, shortest=2)
    drawn = known_prosody.draw(texts, 0, VOICES)
    columns = {(name, name): [getattr(u, name) for u in drawn] for name in FACTORS}
    columns |= {("voice", voice): [u.voice == voice for u in drawn] for voice in VOICES}
    columns |= {("text", "words"): [len(text.split()) for text in texts]}
    columns |= {("text", w): [text.split().count(w) for text in texts] for w in spoken_digits.WORDS}
    table = np.corrcoef(np.array(list(columns.values()), float))
    for (i, one), (j, other) in itertools.combinations(enumerate(columns), 2):
        if one[0] != other[0]:
            assert abs(table[i, j]) < 4.5 / np.sqrt(len(texts)), (one, other, table[i, j])


def test_factors_fill_their_ranges_evenly() -> None:
    drawn = known_prosody.draw(["one"] * 1500, 3, VOICES)
    for name, (low, high) in FACTORS.items():
        values = np.array([getattr(u, name) for u in drawn])
        assert low <= values.min() < low + 3 < high - 3 < values.max() <= high
        error = (high - low) / np.sqrt(12 * len(values))
        assert abs(values.mean() - (low + high) / 2) < 4 * error
    counts = [sum(u.voice == voice for u in drawn) for voice in VOICES]
    assert min(counts) > 30  # 62 expected, 4 standard errors


def test_voices_to_train_and_held_out_are_different_and_repeat() -> None:
    assert (len(set(VOICES)), len(set(HELD_OUT))) == (24, 8)
    assert not set(VOICES) & set(HELD_OUT)
    breathy = {"en-us+f2", "en-us+f3", "en-us+f5", "en-us+Alicia", "en-us+victor"}
    assert not breathy & {*VOICES, *HELD_OUT}


def test_rows_and_cuts_have_the_factors(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader", reason="needs the extra `espeak`")
    cuts = list(known_prosody.make(tmp_path / "a", utterances=6, seed=2, longest=3))
    rows = json.loads((tmp_path / "a" / "manifest.json").read_text("utf-8"))["utterances"]
    for cut, row in zip(cuts, rows, strict=True):
        said = cut.supervisions[0]
        assert said.custom == {name: row[name] for name in ("voice", *FACTORS)}
        assert said.speaker == row["voice"]
        assert said.text == row["text"]
    unseen = list(known_prosody.make(tmp_path / "b", utterances=6, seed=2, held_out=True))
    assert {cut.supervisions[0].speaker for cut in unseen} <= set(HELD_OUT)
    assert not {c.supervisions[0].text for c in cuts} & {c.supervisions[0].text for c in unseen}
    excluded = [cut.supervisions[0].text for cut in cuts]
    other = known_prosody.make(tmp_path / "c", utterances=6, seed=2, longest=3, exclude=excluded)
    assert not {cut.supervisions[0].text for cut in other} & set(excluded)


def test_bytes_do_not_depend_on_the_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("espeakng_loader", reason="needs the extra `espeak`")
    monkeypatch.setattr(known_prosody, "_BATCH", 4)
    for processes in (1, 3):
        folder = tmp_path / str(processes)
        known_prosody.make(folder, utterances=10, longest=2, processes=processes)
    assert _sums(tmp_path / "1") == _sums(tmp_path / "3")
    # every voice may come anywhere in a process, so that one breathy voice would change bytes
    assert len(set(_sums(tmp_path / "1").values())) == 10


def test_every_voice_repeats_in_a_fresh_process(tmp_path: Path) -> None:
    """A second apart, because breathy voices are seeded by the clock."""
    pytest.importorskip("espeakng_loader", reason="needs the extra `espeak`")
    plan = [
        espeak.ProsodyUtterance(id=f"{i}", text="six", voice=voice, range=i, volume=90 + i)
        for i, voice in enumerate((*VOICES, *HELD_OUT))
    ]
    espeak.speak(plan, tmp_path / "a")
    time.sleep(1.1)
    espeak.speak(plan, tmp_path / "b")
    assert _sums(tmp_path / "a") == _sums(tmp_path / "b")
    assert len(set(_sums(tmp_path / "a").values())) == 32


def test_range_and_volume_do_not_last(tmp_path: Path) -> None:
    """An utterance without them sounds as it did before another that has them."""
    pytest.importorskip("espeakng_loader", reason="needs the extra `espeak`")
    plain = espeak.Utterance(id="plain", text="nine")
    given = espeak.ProsodyUtterance(id="plain", text="nine", range=50, volume=100)
    for name, first in (("a", plain), ("b", given)):
        espeak.speak([first], tmp_path / name)
    assert _sums(tmp_path / "a") == _sums(tmp_path / "b")
    loud = espeak.ProsodyUtterance(id="loud", text="nine", range=0, volume=150)
    soft = espeak.Utterance(id="soft", text="nine")
    cuts = list(espeak.speak([loud, soft], tmp_path / "c"))
    peaks = [np.abs(cut.load_audio()).max() for cut in cuts]
    assert peaks[0] > 1.3 * peaks[1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"utterances": 0},
        {"seed": -1},
        {"shortest": 0},
        {"shortest": 4, "longest": 3},
        {"utterances": 101, "longest": 2},
        {"processes": 0},
    ],
)
def test_bad_arguments_are_refused(tmp_path: Path, wrong: dict) -> None:
    pytest.importorskip("espeakng_loader", reason="needs the extra `espeak`")
    with pytest.raises(ConfigError):
        known_prosody.make(tmp_path / "a", **({"utterances": 5} | wrong))
    assert not (tmp_path / "a").exists()
