"""speechseq synthesize, info and prepare: what they do, and how they refuse what they cannot do."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from speechseq.audio import wav
from speechseq.cli import synthesize
from speechseq.errors import MachineError


def test_one_text_becomes_one_wav(speechseq: Callable, voice: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.wav"
    ended = speechseq("synthesize", "--checkpoint", voice, "--text", "One two", "--out", out)
    assert (ended.code, ended.err) == (0, "")
    waveform, rate = wav.load(out)
    assert rate == 8000
    assert f"{out}: {waveform.shape[1] / rate:.2f} s, ended by " in ended.out


def test_the_same_command_says_the_same_and_a_seed_says_otherwise(
    speechseq: Callable, voice: Path, tmp_path: Path
) -> None:
    def speak(*flags: object) -> bytes:
        out = tmp_path / "x.wav"
        start = ("synthesize", "--checkpoint", voice, "--text", "one two", "--out", out)
        assert speechseq(*start, *flags).code == 0
        return out.read_bytes()

    assert speak() == speak() == speak("--seed", 0)
    assert speak("--seed", 1) != speak()


def test_lines_become_wavs_numbered_by_line(
    speechseq: Callable, voice: Path, tmp_path: Path
) -> None:
    texts, out = tmp_path / "texts.txt", tmp_path / "a" / "b"
    texts.write_bytes("\ufeffone\r\ntwo three\r\nfour\r\n".encode())
    ended = speechseq(
        "synthesize", "--checkpoint", voice, "--text-file", texts, "--out-dir", out, "--seed", 4
    )
    assert ended.code == 0
    assert sorted(os.listdir(out)) == ["0001.wav", "0002.wav", "0003.wav"]
    alone = tmp_path / "alone.wav"
    speechseq(
        *("synthesize", "--checkpoint", voice, "--text", "two three", "--out", alone, "--seed", 4)
    )
    ours, theirs = wav.load(out / "0002.wav")[0], wav.load(alone)[0]
    # one seed, one result, up to float32 rounding, which Griffin-Lim carries on
    torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-3)


def test_many_lines_are_written_part_by_part(
    speechseq: Callable, voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthesize, "_AT_ONCE", 2)
    texts, out = tmp_path / "texts.txt", tmp_path / "out"
    texts.write_text("a\nb\nc\nd\ne\n")
    ended = speechseq("synthesize", "--checkpoint", voice, "--text-file", texts, "--out-dir", out)
    assert ended.code == 0
    assert len(os.listdir(out)) == 5


def test_bad_lines_are_all_named_and_nothing_is_written(
    speechseq: Callable, voice: Path, tmp_path: Path
) -> None:
    texts, out = tmp_path / "texts.txt", tmp_path / "out"
    texts.write_text("one\n\ntwo\nthree?\n")
    start = ("synthesize", "--checkpoint", voice, "--text-file", texts, "--out-dir", out)
    ended = speechseq(*start)
    assert ended.code == 3
    assert f"{texts}:2: nothing to say" in ended.err
    assert f"{texts}:4: unknown symbols" in ended.err
    assert "cure: " in ended.err
    assert "--skip-bad" in ended.err
    assert not out.exists()

    ended = speechseq(*start, "--skip-bad")
    assert ended.code == 0
    assert sorted(os.listdir(out)) == ["0001.wav", "0003.wav"]
    warnings = ended.err.splitlines()
    assert [line.partition(":")[0] for line in warnings] == ["warning", "warning"]
    assert f"{texts}:2" in warnings[0]


WRONG_USE = {
    "neither text nor file": ((), "--text --text-file is required"),
    "no out": (("--text", "a"), "give --out X.wav"),
    "out is no wav": (("--text", "a", "--out", "x.mp3"), "does not end in .wav"),
    "out in no folder": (("--text", "a", "--out", "nowhere/x.wav"), "nowhere does not exist"),
    "out is a folder": (("--text", "a", "--out", "folder.wav"), "is a folder"),
    "two outs": (("--text", "a", "--out", "x.wav", "--out-dir", "d"), "one text makes one wav"),
    "file without folder": (("--text-file", "t.txt", "--out", "x.wav"), "give --out-dir"),
    "out-dir is a file": (("--text-file", "t.txt", "--out-dir", "t.txt"), "not a folder"),
    "unknown device": (("--text", "a", "--out", "x.wav", "--device", "gpu"), "unknown 'gpu'"),
    "seed of letters": (("--text", "a", "--out", "x.wav", "--seed", "x"), "invalid int"),
}


@pytest.mark.parametrize("name", WRONG_USE)
def test_wrong_use_is_code_2(
    name: str, speechseq: Callable, voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.txt").write_text("one\n")
    Path("folder.wav").mkdir()
    before = sorted(tmp_path.rglob("*"))
    flags, expected = WRONG_USE[name]
    ended = speechseq("synthesize", "--checkpoint", voice, *flags)
    assert ended.code == 2
    assert expected in ended.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        ("one\nzw\xf6lf\n".encode("latin-1"), "t.txt:2: not UTF-8"),
        (None, "no such file"),
    ],
)
def test_text_files_that_cannot_be_read_are_code_3(
    content: bytes | None, expected: str, speechseq: Callable, voice: Path, tmp_path: Path
) -> None:
    texts = tmp_path / "t.txt"
    if content is not None:
        texts.write_bytes(content)
    ended = speechseq(
        "synthesize", "--checkpoint", voice, "--text-file", texts, "--out-dir", tmp_path / "out"
    )
    assert ended.code == 3
    assert expected in ended.err


def test_a_precision_is_passed_on_and_another_is_code_2(
    speechseq: Callable, voice: Path, tmp_path: Path
) -> None:
    start = ("synthesize", "--checkpoint", voice, "--text", "one two", "--out")
    sounds = {}
    for precision in ("float32", "int8"):
        out = tmp_path / f"{precision}.wav"
        assert speechseq(*start, out, "--precision", precision).code == 0
        sounds[precision] = out.read_bytes()
    assert sounds["float32"] != sounds["int8"]
    ended = speechseq(*start, tmp_path / "x.wav", "--precision", "int4")
    assert ended.code == 2
    assert "float32, bfloat16, int8" in ended.err


def test_a_device_that_is_not_here_is_code_5(
    speechseq: Callable, voice: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.wav"
    start = ("synthesize", "--checkpoint", voice, "--text", "one", "--out", out)
    ended = speechseq(*start, "--device", "cuda:99")
    assert ended.code == 5
    assert "cuda:99" in ended.err
    assert not out.exists()


def test_a_broken_checkpoint_is_code_4(speechseq: Callable, voice: Path, tmp_path: Path) -> None:
    weights = voice / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    for argv in (
        ("synthesize", "--checkpoint", voice, "--text", "one", "--out", tmp_path / "x.wav"),
        ("info", voice),
        ("info", tmp_path / "none"),
    ):
        ended = speechseq(*argv)
        assert ended.code == 4
        assert "cure: " in ended.err
        assert ended.out == ""


def test_a_failed_write_names_the_line(
    speechseq: Callable, voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *rest: object) -> None:
        raise MachineError(f"{path}: cannot be written: No space left on device", "make room")

    monkeypatch.setattr(wav, "save", full)
    texts = tmp_path / "t.txt"
    texts.write_text("one\n")
    ended = speechseq(
        "synthesize", "--checkpoint", voice, "--text-file", texts, "--out-dir", tmp_path / "out"
    )
    assert ended.code == 5
    assert f"{texts}:1: " in ended.err
    assert "No space left" in ended.err


def test_info_says_what_a_checkpoint_holds(speechseq: Callable, voice: Path) -> None:
    ended = speechseq("info", voice)
    assert (ended.code, ended.err) == (0, "")
    for part in ("tacotron", "parameters", "update      7", "8,000 Hz", "20 mels", "29 entries"):
        assert part in ended.out
    assert "reduction_factor: 2" in ended.out


def test_info_counts_parameters_without_running_statistics(
    speechseq: Callable, voice: Path
) -> None:
    from tiny_voice import tiny_model

    count = sum(parameter.numel() for parameter in tiny_model().parameters())
    assert f" {count:,} parameters" in speechseq("info", voice).out


def make_ljspeech(root: Path, rows: list[str]) -> None:
    (root / "wavs").mkdir(parents=True)
    (root / "metadata.csv").write_text("".join(f"{row}\n" for row in rows))
    for index in (1, 2):
        wav.save(root / "wavs" / f"LJ-{index}.wav", 0.1 * torch.randn(22050), 22050)


def test_prepare_checks_a_corpus_and_says_its_size(speechseq: Callable, tmp_path: Path) -> None:
    make_ljspeech(tmp_path / "lj", ["LJ-1|One.|One.", "LJ-2|2|Two."])
    ended = speechseq("prepare", "ljspeech", tmp_path / "lj")
    assert ended.code == 0
    assert "2 utterances, 0.00 hours, 1.0 to 1.0 seconds" in ended.out


def test_prepare_names_every_bad_row(speechseq: Callable, tmp_path: Path) -> None:
    make_ljspeech(tmp_path / "lj", ["LJ-1|One.|One.", "LJ-3|3|Three.", "../LJ-2|Two.|Two."])
    ended = speechseq("prepare", "ljspeech", tmp_path / "lj")
    assert ended.code == 3
    assert "metadata.csv:2" in ended.err
    assert "metadata.csv:3" in ended.err
    assert "Traceback" not in ended.err
    assert speechseq("prepare", "ljspeech", tmp_path / "lj", "--skip-bad").code == 0
