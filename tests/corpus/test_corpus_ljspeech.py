"""Reading LJSpeech folders: good ones, and every way in which their rows go wrong."""

import logging
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import CutSet, MonoCut

from speechseq.corpus import ljspeech, metadata
from speechseq.errors import ConfigError, DataError


def test_every_row_becomes_a_cut_of_the_true_length(folder: Path) -> None:
    cuts = ljspeech.read(folder)
    assert [cut.id for cut in cuts] == [f"row-{i:04d}" for i in range(8)]
    assert [cut.num_samples for cut in cuts] == [3000 + 2000 * i for i in range(8)]
    assert cuts[3].supervisions[0].text == "number iiii"


def test_the_raw_column_on_request(folder: Path) -> None:
    assert ljspeech.read(folder, normalized=False)[3].supervisions[0].text == "No. 3"


def test_flac_serves_where_there_is_no_wav(folder: Path) -> None:
    wav = folder / "wavs" / "row-0002.wav"
    samples, rate = soundfile.read(wav, dtype="int16")
    wav.unlink()
    soundfile.write(wav.with_suffix(".flac"), samples, rate)
    assert ljspeech.read(folder)[2].num_samples == len(samples)


def test_a_quote_is_a_character_like_any_other(folder: Path) -> None:
    text = 'row-0000|"|he said "so\nrow-0001|x|"quoted"\n'
    (folder / "metadata.csv").write_text(text, "utf-8")
    assert [c.supervisions[0].text for c in ljspeech.read(folder)] == ['he said "so', '"quoted"']


def test_byte_order_mark_and_crlf_are_accepted_and_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = ljspeech.read(folder)
    path = folder / "metadata.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    with caplog.at_level(logging.WARNING):
        windows = ljspeech.read(folder)
    assert list(windows) == list(plain)
    assert "byte order mark" in caplog.text
    assert "CRLF" in caplog.text


def _claims_ten_hours(wav: Path) -> None:
    size = 36_000 * 22050 * 2
    form = struct.pack("<HHIIHH", 1, 1, 22050, 44100, 2, 16)
    head = b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt " + struct.pack("<I", 16) + form
    wav.write_bytes(head + b"data" + struct.pack("<I", size) + b"\0" * 16)


def _fifo(wav: Path) -> None:
    wav.unlink()
    os.mkfifo(wav)


def _dangling(wav: Path) -> None:
    wav.unlink()
    wav.symlink_to("nowhere.wav")


def _directory(wav: Path) -> None:
    wav.unlink()
    wav.mkdir()


BAD_WAVS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda wav: wav.unlink(), "no such file"),
    "0 samples": (lambda wav: soundfile.write(wav, np.zeros(0), 22050), "0 samples"),
    "text": (lambda wav: wav.write_text("hello"), "holds text"),
    "empty": (lambda wav: wav.write_bytes(b""), "is empty"),
    "cut header": (lambda wav: wav.write_bytes(wav.read_bytes()[:20]), "header is cut"),
    "cut": (lambda wav: wav.write_bytes(wav.read_bytes()[:9000]), "cut: the header claims"),
    "ten hours in 60 bytes": (_claims_ten_hours, "cut: the header claims"),
    "fifo": (_fifo, "is a FIFO"),
    "dangling link": (_dangling, "link to nowhere.wav"),
    "directory": (_directory, "is a directory"),
}


@pytest.mark.parametrize("name", BAD_WAVS)
def test_a_bad_wav_is_named_with_its_row(folder: Path, name: str) -> None:
    spoil, reason = BAD_WAVS[name]
    spoil(folder / "wavs" / "row-0004.wav")
    with pytest.raises(DataError) as caught:
        ljspeech.read(folder)
    assert "metadata.csv:5:" in caught.value.problem
    assert "row-0004.wav" in caught.value.problem
    assert reason in caught.value.problem


BAD_ROWS = {
    "Latin-1": (b"row-0001|caf\xe9|caf\xe9", "byte 0xe9 at position 13 is not UTF-8"),
    "one column": (b"row-0001", "1 columns"),
    "missing column": (b"row-0001|text", "2 columns"),
    "a bar too many": (b"row-0001|a|b|c", "4 columns"),
    "duplicate id": (b"row-0000|again|again", "stands already in line 1"),
    "climbs out": (b"../row-0001|x|x", "cannot name a file"),
    "a path": (b"wavs/row-0001|x|x", "cannot name a file"),
    "a Windows path": (b"..\\row-0001|x|x", "cannot name a file"),
    "no id": (b"|x|x", "cannot name a file"),
    "empty text": (b"row-0001|x| ", "row-0001: empty text"),
    "missing wav": (b"row-9999|x|x", "row-9999.wav: no such file"),
    "control character": (b"row-0001|x|a\x00b", "control character"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_named_and_only_skip_bad_goes_on(
    folder: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    row, reason = BAD_ROWS[name]
    lines = (folder / "metadata.csv").read_bytes().split(b"\n")
    (folder / "metadata.csv").write_bytes(b"\n".join([lines[0], row, *lines[2:]]))
    with pytest.raises(DataError) as caught:
        ljspeech.read(folder)
    assert caught.value.exit_code == 3
    assert f"{folder / 'metadata.csv'}:2: " in caught.value.problem
    assert reason in caught.value.problem
    assert "--skip-bad" in caught.value.cure
    kept = ljspeech.read(folder, skip_bad=True)
    assert [cut.id for cut in kept] == [f"row-{i:04d}" for i in range(8) if i != 1]
    assert reason in caplog.text


def test_all_problems_come_in_one_pass_in_the_order_of_lines(folder: Path) -> None:
    (folder / "wavs" / "row-0002.wav").unlink()
    rows = (folder / "metadata.csv").read_bytes() + b"\n".join(row for row, _ in BAD_ROWS.values())
    (folder / "metadata.csv").write_bytes(rows)
    with pytest.raises(DataError) as caught:
        ljspeech.read(folder)
    lines = [line for line in caught.value.problem.splitlines() if "metadata.csv:" in line]
    numbers = [int(line.split("metadata.csv:")[1].split(":")[0]) for line in lines]
    assert numbers == [3, *range(9, 21)]


def test_a_thousand_problems_are_counted_and_fifty_shown(folder: Path) -> None:
    (folder / "metadata.csv").write_text("x\n" * 1000)
    with pytest.raises(DataError, match=r"1000 bad rows(?s:.*)and 950 more") as caught:
        ljspeech.read(folder)
    assert caught.value.problem.count("columns") == 50


def test_nothing_left_is_an_error_even_with_skip_bad(folder: Path) -> None:
    (folder / "metadata.csv").write_text("x\n")
    with pytest.raises(DataError, match="1 bad row"):
        ljspeech.read(folder, skip_bad=True)
    (folder / "metadata.csv").write_text("\n")
    with pytest.raises(DataError, match="no rows"):
        ljspeech.read(folder)


def test_no_folder_and_utf16_are_said(folder: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        ljspeech.read(folder / "nowhere")
    (folder / "metadata.csv").write_text("row-0000|a|a\n", "utf-16")
    with pytest.raises(DataError, match="UTF-16"):
        ljspeech.read(folder)


def test_the_split_has_its_sizes_and_shares_nothing(folder: Path) -> None:
    cuts = ljspeech.read(folder)
    parts = ljspeech.split(cuts, dev=2, test=1)
    assert [len(part) for part in parts] == [5, 2, 1]
    assert {cut.id for part in parts for cut in part} == {cut.id for cut in cuts}
    mixed = ljspeech.split(cuts.shuffle(), dev=2, test=1)
    assert {cut.id for cut in mixed.dev} == {cut.id for cut in parts.dev}
    with pytest.raises(ConfigError, match="8 utterances"):
        ljspeech.split(cuts)


def test_the_default_split_has_the_published_sizes() -> None:
    everything = CutSet.from_cuts(MonoCut(str(i), 0, 1, 0) for i in range(13_100))
    assert [len(part) for part in ljspeech.split(everything)] == [12_500, 100, 500]


def test_a_folder_with_lists_of_its_own_is_split_by_them(folder: Path) -> None:
    rows = (folder / "metadata.csv").read_text().splitlines()
    (folder / "metadata_train.csv").write_text("\n".join(rows[:6]))
    (folder / "metadata_dev.csv").write_text("\n".join(rows[6:]))
    parts = ljspeech.read_split(folder)
    assert [len(part) for part in parts] == [6, 2, 0]
    assert [cut.id for cut in parts.dev] == ["row-0006", "row-0007"]
    (folder / "metadata_dev.csv").write_text("\n".join(rows[5:]))
    with pytest.raises(DataError, match="share an id"):
        ljspeech.read_split(folder)
    (folder / "metadata_dev.csv").write_text("row-0099|x|x")
    with pytest.raises(DataError, match="row-0099"):
        ljspeech.read_split(folder)


def test_real_rows(real_ljspeech: Path) -> None:
    parts = ljspeech.read_split(real_ljspeech)
    assert [len(part) for part in parts] == [345, 20, 0]
    assert [cut.id for cut in parts.dev] == [f"LJ001-{i:04d}" for i in range(167, 187)]
    assert 39 < sum(cut.duration for part in parts for cut in part) / 60 < 41


def test_all_published_rows_are_good(real_ljspeech: Path) -> None:
    rows, problems = metadata.rows(real_ljspeech.parent / "text" / "ljspeech_metadata.csv")
    assert (len(rows), problems) == (13100, [])
