"""The Free Spoken Digit Dataset in both its layouts, and what is said of a damaged one."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechseq.corpus import fsdd
from speechseq.errors import DataError


def _sound(path: Path, samples: int = 400) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, samples)
    soundfile.write(path, noise, 8000, subtype="PCM_16")


def _published(root: Path) -> Path:
    for index in (0, 4, 5, 49):
        _sound(root / "recordings" / f"7_theo_{index}.wav")
    return root


def _tables(root: Path) -> Path:
    for part, index in (("train", 5), ("test", 0)):
        _sound(root / "audio" / "theo" / f"7_theo_{index}.flac")
        row = f"audio/theo/7_theo_{index}.flac\tseven\ttheo\n"
        (root / f"{part}.tsv").write_text("path\ttext\tspeaker\n" + row, "utf-8")
    return root


def test_the_published_split_is_by_index(tmp_path: Path) -> None:
    train, test = fsdd.read(_published(tmp_path))
    assert sorted(train.ids) == ["7_theo_49", "7_theo_5"]
    assert sorted(test.ids) == ["7_theo_0", "7_theo_4"]
    assert {(s.text, s.speaker) for cut in train for s in cut.supervisions} == {("seven", "theo")}


def test_tables_are_read_as_they_say(tmp_path: Path) -> None:
    train, test = fsdd.read(_tables(tmp_path))
    assert [cut.id for cut in train] == ["7_theo_5"]
    assert [cut.id for cut in test] == ["7_theo_0"]
    assert train[0].supervisions[0].text == "seven"
    assert train[0].supervisions[0].speaker == "theo"
    assert train[0].num_samples == 400


def test_all_bad_recordings_are_listed_at_once(tmp_path: Path) -> None:
    folder = _published(tmp_path) / "recordings"
    (folder / "1_theo_0.wav").write_bytes(b"")
    _sound(folder / "one_theo_0.wav")
    with pytest.raises(DataError, match="2 bad rows") as caught:
        fsdd.read(tmp_path)
    assert "1_theo_0.wav: is empty" in caught.value.problem
    assert "one_theo_0.wav: is not named" in caught.value.problem


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("audio/theo/7_theo_5.flac\tseven", "2 columns"),
        ("audio/theo/7_theo_5.flac\t \ttheo", "no text"),
        ("audio/theo/7_theo_5.flac\tseven\t", "no speaker"),
        ("../7_theo_5.flac\tseven\ttheo", "leads outside"),
        ("/audio/7_theo_5.flac\tseven\ttheo", "leads outside"),
        ("audio/theo/9_theo_9.flac\tnine\ttheo", "no such file"),
        ("audio/theo/7_theo_5.flac\tseven\ttheo", "stands twice"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, row: str, reason: str) -> None:
    table = _tables(tmp_path) / "train.tsv"
    table.write_text(table.read_text("utf-8") + row + "\n", "utf-8")
    with pytest.raises(DataError, match=r"train\.tsv:3: ") as caught:
        fsdd.read(tmp_path)
    assert reason in caught.value.problem


def test_folders_that_hold_no_digits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither"):
        fsdd.read(tmp_path)
    (tmp_path / "recordings").mkdir()
    with pytest.raises(DataError, match="0 recordings to train"):
        fsdd.read(tmp_path)
    (tmp_path / "train.tsv").write_text("a,b,c\n")
    with pytest.raises(DataError, match="head"):
        fsdd.read(tmp_path)
