"""Whatever the terminal and the names are: no traceback, nothing printed raw."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_recogniser import AUDIO, MODEL

from speechseq import checkpoint
from speechseq.audio import wav
from speechseq.cli.guard import guarded
from speechseq.text.vocabulary import Vocabulary

MAIN = "from speechseq.cli import main; raise SystemExit(main())"
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "PYTHONCOERCECLOCALE": "0"}


def in_shell(script: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a shell script in which $SPEECHSEQ is the command."""
    command = f'speechseq() {{ "{sys.executable}" -c "{MAIN}" "$@"; }}\n'
    root = str(Path(__file__).parents[2])
    known = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(["bash", "-c", command + script], capture_output=True, env=known)


@pytest.mark.parametrize("command", ["--help", "transcribe --help", "synthesise"])
def test_an_ascii_terminal_is_served(command: str) -> None:
    done = in_shell(f"speechseq {command}", **ASCII)
    said = done.stdout + done.stderr
    assert said.isascii()
    assert b"Traceback" not in said
    assert done.returncode == {"synthesise": 2}.get(command, 0)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("speechseq --help >&-", 0),
        ("speechseq --help 2>&- <&-", 0),
        ("speechseq synthesise 2>&-", 2),
        ("speechseq synthesise >&- 2>&- <&-", 2),
        ("speechseq --help | true; exit ${PIPESTATUS[0]}", 0),
        ("speechseq synthesise 2>&1 | true; exit ${PIPESTATUS[0]}", 2),
    ],
)
def test_closed_streams_are_no_error(script: str, code: int) -> None:
    done = in_shell(script)
    assert done.returncode == code
    assert b"Traceback" not in done.stdout + done.stderr
    assert b"Exception ignored" not in done.stderr
    assert b"error:" not in done.stdout  # what is said of errors never gets among the data


def test_output_to_a_full_disk_is_an_error_of_the_machine() -> None:
    done = in_shell("speechseq --help > /dev/full")
    assert done.returncode == 5
    assert b"No space left on device" in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_a_closed_descriptor_is_not_given_to_the_next_file() -> None:
    program = "import os, sys\nfrom speechseq.cli.guard import guarded\n" + (
        "guarded(lambda: sys.stderr.write(str(os.open('/dev/null', os.O_RDONLY))))"
    )
    script = f'"{sys.executable}" -c "{program}" <&- >&-'
    assert int(in_shell(script).stderr) > 2


HOSTILE = os.fsdecode(b"a\x1b[31m\nerror: b\xff.wav")


@pytest.fixture
def recogniser(tmp_path: Path) -> Path:
    """An untrained one, whose vocabulary holds an escape code."""
    vocabulary = Vocabulary.transcripts("ab\x1b\x9b\n")
    model = MODEL.build(symbols=len(vocabulary), features=AUDIO.features)
    return checkpoint.save(
        tmp_path / "recogniser",
        model=MODEL,
        audio=AUDIO,
        vocabulary=vocabulary,
        weights=model.state_dict(),
        update=0,
    )


@pytest.mark.parametrize("flags", [[], ["--json"], ["--timestamps", "--n-best", "2"]])
def test_a_hostile_name_of_a_sound(
    recogniser: Path, tmp_path: Path, speechseq: Callable, flags: list[str]
) -> None:
    wav.save(tmp_path / HOSTILE, torch.randn(8000) * 0.1, 8000)
    ended = speechseq("transcribe", "--checkpoint", recogniser, tmp_path / HOSTILE, *flags)
    assert ended.code == 0
    assert "\x1b" not in ended.out + ended.err
    assert "\udcff" not in ended.out + ended.err
    assert not [line for line in ended.out.splitlines() if line.startswith("error")]


def test_hostile_symbols_of_a_checkpoint(recogniser: Path, speechseq: Callable) -> None:
    ended = speechseq("info", recogniser)
    assert ended.code == 0
    assert r"'\x1b' '\x9b'" in ended.out
    assert not {"\x1b", "\x9b"} & set(ended.out)


@pytest.mark.parametrize("name", [HOSTILE, "x" * 240 + ".wav", "x" * 300, "-\x1b]0;title\x07"])
@pytest.mark.parametrize(
    "command",
    [
        ["info", "NAME"],
        ["train", "NAME"],
        ["prepare", "ljspeech", "NAME"],
        ["prepare", "NAME", "x"],
        ["score", "--ref", "NAME", "--hyp", "NAME"],
        ["transcribe", "--checkpoint", "NAME", "NAME"],
        ["synthesize", "--checkpoint", "NAME", "--text", "NAME", "--out", "a.wav"],
        ["synthesize", "--checkpoint", "NAME", "--text-file", "NAME", "--out-dir", "NAME"],
        ["NAME"],
    ],
)
def test_a_hostile_name_in_any_place(
    tmp_path: Path,
    speechseq: Callable,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = speechseq(*(word.replace("NAME", name) for word in command))
    assert ended.code in (2, 3, 4, 5)
    assert ended.err.startswith("error: ")
    assert "Traceback" not in ended.err
    for raw in ("\x1b", "\x07", "\udcff", "\nerror: b"):
        assert raw not in ended.err
    assert max(map(len, ended.err.splitlines())) < 2100
    assert list(tmp_path.iterdir()) == []


def test_a_text_that_is_not_utf_8(tmp_path: Path, speechseq: Callable) -> None:
    flags = ["--checkpoint", "x", "--out", tmp_path / "a.wav"]
    ended = speechseq("synthesize", "--text", "a\udcffb", *flags)
    assert (ended.code, "--text: is not UTF-8" in ended.err) == (3, True)


def test_warnings_and_tracebacks_are_escaped_too(capsys: pytest.CaptureFixture[str]) -> None:
    import logging
    import warnings

    from speechseq.corpus import generated_folder

    def work() -> None:
        warnings.warn("a\x1b[1mb\udcff", UserWarning, stacklevel=1)
        record = {"msg": "c\x1b[1md", "levelno": logging.WARNING}
        logging.lastResort.handle(logging.makeLogRecord(record))  # pytest has handlers of its own
        generated_folder.ensure(Path("no\x1b[1m"), {}, lambda wavs: None)

    assert guarded(work) == 1
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert r"warning: a\x1b[1mb\udcff" in said
    assert r"c\x1b[1md" in said
