"""speechseq transcribe: texts, times and JSON; bad files do not harm the others."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_recogniser import RATE, VOCABULARY, save_recogniser, tones, words

from speechseq.audio import wav

ARPA = """\\data\\
ngram 1=7

\\1-grams:
-0.7 <s>
-0.7 </s>
-9.0 <unk>
-0.7 a
-0.7 b
-0.7 c
-0.7 <space>

\\end\\
"""


@pytest.fixture
def las(tmp_path: Path) -> Path:
    return save_recogniser(tmp_path / "las")


@pytest.fixture
def texts(tmp_path: Path) -> dict[Path, str]:
    """Files and what they say; the last is longer than a window of 1.5 seconds."""
    said = {tmp_path / f"{i}.wav": words(1 + i, 9000 + i) for i in range(3)}
    said[tmp_path / "long.wav"] = words(20, 6)
    for path, text in said.items():
        wav.save(path, tones(text), RATE)
    return said


def test_a_line_a_file_in_the_order_given(
    speechseq: Callable, las: Path, texts: dict[Path, str]
) -> None:
    files = list(texts)[::-1]
    ended = speechseq("transcribe", "--checkpoint", las, "--window", 1.5, *files)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [f"{path}: {texts[path]}" for path in files]


def test_timestamps_and_n_best(speechseq: Callable, las: Path, texts: dict[Path, str]) -> None:
    path = list(texts)[2]
    flags = ("--timestamps", "--n-best", 3, "--beam", 4)
    ended = speechseq("transcribe", "--checkpoint", las, *flags, path)
    head, *lines = ended.out.splitlines()
    assert head == f"{path}: {texts[path]}"
    spoken = texts[path].split()
    for line, word in zip(lines, spoken, strict=False):
        start, end, confidence, text = line.split()
        assert text == word
        assert 0 <= float(start) <= float(end) <= 2
        assert 0 < float(confidence) <= 1
    readings = lines[len(spoken) :]
    assert [line.split()[0] for line in readings] == ["1", "2", "3"]
    assert readings[0].endswith(f"  {texts[path]}")


def test_json_tells_everything(speechseq: Callable, las: Path, texts: dict[Path, str]) -> None:
    flags = ("--json", "--n-best", 2, "--window", 1.5)
    ended = speechseq("transcribe", "--checkpoint", las, *flags, *texts)
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert [row["text"] for row in rows] == list(texts.values())
    assert [row["path"] for row in rows] == list(map(str, texts))
    for row in rows:
        assert [word["text"] for word in row["words"]] == row["text"].split()
        assert row["seconds"] > 0
    for row in rows[:3]:
        assert len(row["n_best"]) == 2
        assert row["n_best"][0]["terms"].keys() == {"attention"}
        assert row["finished"]
        assert len(row["token_confidences"]) == len(row["tokens"])
    assert rows[3]["windows"] > 1


@pytest.mark.parametrize(("threshold", "marks"), [(-1.0, True), (1.0, False)])
def test_words_where_nobody_speaks_are_marked(
    threshold: float,
    marks: bool,
    speechseq: Callable,
    las: Path,
    texts: dict[Path, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("speechseq.inference.transcript.NO_SPEECH", threshold)
    files = list(texts)[::3]
    ended = speechseq("transcribe", "--checkpoint", las, "--window", 1.5, *files)
    told = speechseq("transcribe", "--checkpoint", las, "--window", 1.5, "--json", *files)
    for line, path, data in zip(
        ended.out.splitlines(), files, map(json.loads, told.out.splitlines()), strict=True
    ):
        assert data["text"] == texts[path]
        assert 0 <= data["no_speech"] <= 1
        mark = f"  [no speech: {data['no_speech']:.2f}]" if marks else ""
        assert line == f"{path}: {texts[path]}{mark}"


def test_bad_files_are_named_and_the_others_are_read(
    speechseq: Callable, las: Path, texts: dict[Path, str], tmp_path: Path
) -> None:
    (tmp_path / "words.wav").write_text("no sound")
    wav.save(tmp_path / "short.wav", torch.zeros(20), RATE)
    bad = [tmp_path / "missing.wav", tmp_path / "words.wav", tmp_path / "short.wav"]
    files = [bad[0], *texts, *bad[1:]]
    ended = speechseq("transcribe", "--checkpoint", las, "--window", 1.5, *files)
    assert ended.code == 3
    assert ended.out.splitlines() == [f"{path}: {text}" for path, text in texts.items()]
    assert "error: 3 of 7 files not transcribed:" in ended.err
    for path, expected in zip(bad, ("no such file", "holds text", "too short"), strict=True):
        (line,) = [line for line in ended.err.splitlines() if str(path) in line]
        assert expected in line
        assert line.endswith(")")  # the cure
    alone = speechseq("transcribe", "--checkpoint", las, bad[0])
    assert alone.code == 3
    assert f"error: {bad[0]}: no such file\n  cure: " in alone.err


def test_a_language_model_has_its_term(
    speechseq: Callable, las: Path, texts: dict[Path, str], tmp_path: Path
) -> None:
    (tmp_path / "lm.arpa").write_text(ARPA)
    start = ("transcribe", "--checkpoint", las, "--json", "--lm", tmp_path / "lm.arpa")
    path = list(texts)[1]
    weights = (0.25, 0.5)
    terms = [
        json.loads(speechseq(*start, "--lm-weight", w, path).out)["n_best"][0]["terms"]["lm"]
        for w in weights
    ]
    tokens = len(VOCABULARY.encode(texts[path]))
    assert terms == pytest.approx([-0.7 * math.log(10) * tokens * w for w in weights], rel=1e-3)


def test_the_attention_may_be_read_otherwise(
    speechseq: Callable, las: Path, texts: dict[Path, str]
) -> None:
    path = list(texts)[2]
    ended = speechseq(
        *("transcribe", "--checkpoint", las, "--sharpen", 2, "--attention-window", 5, path)
    )
    assert ended.out == f"{path}: {texts[path]}\n"


WRONG_USE = {
    "no files": ((), "required: FILE"),
    "beam of 0": (("--beam", "0", "a.wav"), "--beam, --n-best: size: 0 is out of range"),
    "n-best above beam": (("--n-best", "9", "a.wav"), "9 hypotheses from a beam of 8"),
    "no window": (("--window", "0", "a.wav"), "--window: seconds: 0.0 is out of range"),
    "sharpening of 0": (("--sharpen", "0", "a.wav"), "--sharpen, --attention-window: sharpening"),
    "weight alone": (("--lm-weight", "1", "a.wav"), "no language model"),
    "weight below 0": (
        ("--lm", "x", "--lm-weight", "-1", "a.wav"),
        "--lm-weight: -1.0 is out of range",
    ),
    "unknown flag": (("--n-bets", "2", "a.wav"), "did you mean '--n-best'"),
    "unknown device": (("--device", "gpu", "a.wav"), "unknown 'gpu'"),
}


@pytest.mark.parametrize("name", WRONG_USE)
def test_wrong_use_is_code_2(name: str, speechseq: Callable, las: Path) -> None:
    flags, expected = WRONG_USE[name]
    ended = speechseq("transcribe", "--checkpoint", las, *flags)
    assert ended.code == 2
    assert expected in ended.err
    assert ended.out == ""


def test_a_voice_is_no_recogniser(
    speechseq: Callable, las: Path, voice: Path, texts: dict[Path, str], tmp_path: Path
) -> None:
    ended = speechseq("transcribe", "--checkpoint", voice, *texts)
    assert ended.code == 4
    assert "'tacotron', not 'las'" in ended.err
    out = tmp_path / "x.wav"
    ended = speechseq("synthesize", "--checkpoint", las, "--text", "a", "--out", out)
    assert ended.code == 4
    assert "'las', not 'tacotron'" in ended.err
    assert not out.exists()
