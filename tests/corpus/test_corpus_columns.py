"""Columns of metadata files: told by number, header or flag; what is in doubt is asked about."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechseq.cli import main
from speechseq.corpus import columns, ljspeech
from speechseq.errors import ConfigError, DataError

TEXTS = ["The first of 3 sentences.", "Another one follows here.", "And this is the last of them."]


def corpus(root: Path, rows: Sequence[str], sounds: str = "wavs", seconds: float = 1.0) -> Path:
    (root / sounds).mkdir(parents=True, exist_ok=True)
    for i in range(len(TEXTS)):
        tone = 0.1 * np.sin(np.arange(int(8000 * seconds)) * 0.05 * (i + 1))
        soundfile.write(root / sounds / f"a{i}.wav", tone, 8000)
    (root / "metadata.csv").write_text("".join(f"{row}\n" for row in rows), "utf-8")
    return root


def said(root: Path, **options: object) -> list[tuple[str, str | None]]:
    cuts = ljspeech.read(root, **options)  # type: ignore[arg-type]
    return [(cut.supervisions[0].text, cut.supervisions[0].speaker) for cut in cuts]


PLAIN = [(text, None) for text in TEXTS]
SPOKEN = list(zip(TEXTS, ["anna", "bob", "anna"], strict=True))
LAYOUTS = {
    "id|text": ([f"a{i}|{t}" for i, t in enumerate(TEXTS)], "", PLAIN),
    "id.wav|text": ([f"a{i}.wav|{t}" for i, t in enumerate(TEXTS)], "", PLAIN),
    "quoted": ([f'"a{i}"|"{t}"' for i, t in enumerate(TEXTS)], "", PLAIN),
    "header": (["id|text", *(f"a{i}|{t}" for i, t in enumerate(TEXTS))], "", PLAIN),
    "id|raw|normalized": ([f"a{i}|x{i} {t}|{t}" for i, t in enumerate(TEXTS)], "", PLAIN),
    "header with a speaker": (
        ["audio_file|text|speaker_name", *(f"a{i}|{t}|{s}" for i, (t, s) in enumerate(SPOKEN))],
        "",
        SPOKEN,
    ),
    "header with others": (
        ["file|speaker|text|mood", *(f"a{i}|{s}|{t}|glad" for i, (t, s) in enumerate(SPOKEN))],
        "",
        SPOKEN,
    ),
    "flag": ([f"a{i}|{t}|{s}" for i, (t, s) in enumerate(SPOKEN)], "id,text,speaker", SPOKEN),
    "flag, speaker first": (
        [f"a{i}|{s}|{t}" for i, (t, s) in enumerate(SPOKEN)],
        "id,speaker,text",
        SPOKEN,
    ),
    "flag over a header": (
        ["id|text|normalized", *(f"a{i}|{t}|{s}" for i, (t, s) in enumerate(SPOKEN))],
        "id,text,speaker",
        SPOKEN,
    ),
    "flag, one not read": ([f"a{i}|{t}|" for i, t in enumerate(TEXTS)], "id,text,-", PLAIN),
}


@pytest.mark.parametrize(("rows", "flag", "expected"), LAYOUTS.values(), ids=LAYOUTS)
def test_layouts_are_read(tmp_path: Path, rows: list[str], flag: str, expected: list) -> None:
    assert said(corpus(tmp_path, rows), columns=flag) == expected
    assert said(tmp_path, columns=flag, normalized=False)[0][0].endswith(TEXTS[0])


@pytest.mark.parametrize("sounds", ["wavs", "wav", "."])
def test_sounds_lie_in_one_of_three_folders(tmp_path: Path, sounds: str) -> None:
    assert said(corpus(tmp_path, [f"a0|{TEXTS[0]}"], sounds)) == PLAIN[:1]


@pytest.mark.parametrize(
    ("names", "order", "flag"),
    [
        (["anna", "bob", "anna"], "{0}|{2}", "--columns id,text,speaker"),
        (["p225", "p226", "p227"], "{0}|{2}", "--columns id,text,speaker"),
        (["0", "1", "0"], "{0}|{2}", "--columns id,text,speaker"),
        (["Anna Maria", "Anna Maria", "Bob"], "{0}|{2}", "--columns id,text,speaker"),
        (["anna", "bob", "anna"], "{2}|{0}", "--columns id,speaker,text"),
    ],
)
def test_a_column_that_may_be_a_speaker_is_asked_about(
    tmp_path: Path, capsys: pytest.CaptureFixture, names: list[str], order: str, flag: str
) -> None:
    rows = ["a{}|{}".format(i, order.format(t, "", names[i])) for i, t in enumerate(TEXTS)]
    root = corpus(tmp_path, rows)
    with pytest.raises(DataError) as caught:
        ljspeech.read(root)
    assert rows[0] in caught.value.problem
    assert flag in caught.value.cure
    assert main(["prepare", "ljspeech", str(root), *flag.split()]) == 0
    assert f"{len(set(names))} speakers" in capsys.readouterr().out


@pytest.mark.parametrize(
    "pairs",
    [
        [("0", "zero"), ("1", "one"), ("0", "zero")],
        [("Yes.", "yes"), ("No.", "no"), ("Yes.", "yes")],
        [("Dr. Smith", "doctor smith")] * 3,
        [("1984", "nineteen eighty four"), ("12", "twelve"), ("12", "twelve")],
    ],
)
def test_another_reading_of_the_text_is_no_speaker(tmp_path: Path, pairs: list) -> None:
    rows = [f"a{i}|{raw}|{normalized}" for i, (raw, normalized) in enumerate(pairs)]
    assert [text for text, _ in said(corpus(tmp_path, rows))] == [text for _, text in pairs]


@pytest.mark.parametrize(("sign", "name"), [("\t", "tabs"), (",", "commas"), (";", "semicolons")])
def test_another_delimiter_is_named(tmp_path: Path, sign: str, name: str) -> None:
    root = corpus(tmp_path, [f"a{i}{sign}{t}" for i, t in enumerate(TEXTS)])
    with pytest.raises(DataError, match=f"divided by {name}"):
        ljspeech.read(root)


def test_more_columns_have_to_be_named(tmp_path: Path) -> None:
    root = corpus(tmp_path, [f"a{i}|{t}|anna|glad" for i, t in enumerate(TEXTS)])
    with pytest.raises(DataError, match=r"4 columns and no header.*a0") as caught:
        ljspeech.read(root)
    assert "--columns id,text,speaker,-" in caught.value.cure
    assert said(root, columns="id,text,speaker,-")[0] == (TEXTS[0], "anna")


@pytest.mark.parametrize("flag", ["id", "text", "id,text,voice", "id,id,text", "id,speaker", ","])
def test_names_of_columns_that_make_no_sense_are_refused(flag: str) -> None:
    with pytest.raises(ConfigError, match="columns") as caught:
        columns.parse(flag)
    assert caught.value.cure


@pytest.mark.parametrize(
    ("text", "seconds", "problem"),
    [
        ("so many letters " * 20, 1.0, "319 letters of text and 1.0 seconds"),
        ("yes", 60.0, "3 letters of text and 60.0 seconds"),
    ],
)
def test_prepare_names_rows_whose_text_cannot_fit_their_sound(
    tmp_path: Path, capsys: pytest.CaptureFixture, text: str, seconds: float, problem: str
) -> None:
    root = corpus(tmp_path, [f"a0|{text}", "a1|a sentence of six seconds or one"], "wavs", seconds)
    soundfile.write(root / "wavs" / "a1.wav", np.full(16000, 0.1), 8000)
    assert main(["prepare", "ljspeech", str(root)]) == 3
    told = capsys.readouterr().err
    assert "metadata.csv:1: " in told
    assert "metadata.csv:2: " not in told
    assert problem in told
    assert "--skip-bad" in told
    assert main(["prepare", "ljspeech", str(root), "--skip-bad"]) == 0
