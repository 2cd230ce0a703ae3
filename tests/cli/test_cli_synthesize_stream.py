"""`synthesize --stream`: the same sound to a file or a pipe, and no traceback when it is closed."""

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from speechseq.audio import wav

MAIN = "from speechseq.cli import main; raise SystemExit(main())"


def in_shell(script: str, voice: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a shell script in which `say` streams to standard output with the given voice."""
    words = f'"{sys.executable}" -c "{MAIN}" synthesize --stream --out - --checkpoint {voice}'
    command = f'say() {{ {words} "$@"; }}\n'
    known = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    return subprocess.run(["bash", "-c", command + script], capture_output=True, env=known)


def test_a_pipe_gets_a_header_of_unknown_length_and_the_samples_of_the_file(
    tmp_path: Path, voice: Path, speechseq: Callable
) -> None:
    text, out = "seven two nine", tmp_path / "out.wav"
    flags = ["synthesize", "--checkpoint", voice, "--text", text, "--out", out]
    assert speechseq(*flags).code == 0
    whole = wav.header(out)
    ended = speechseq(*flags, "--stream")
    assert (ended.code, wav.header(out)) == (0, whole)
    assert f"{whole.seconds:.2f} s, ended by" in ended.out
    streamed = out.read_bytes()[44:]
    done = in_shell(f"say --text '{text}'", voice)
    assert done.returncode == 0
    assert struct.unpack("<4sI8sIHHIIHH4sI", done.stdout[:44]) == (
        *(b"RIFF", 0xFFFFFFFF, b"WAVEfmt ", 16, 1, 1, 8000, 16000, 2, 16),
        *(b"data", 0xFFFFFFFF),
    )
    # another process has other threads, whose sums may round otherwise
    piped, filed = (np.frombuffer(x, "<i2").astype(int) for x in (done.stdout[44:], streamed))
    assert len(piped) == len(filed)
    assert abs(piped - filed).max() <= 4
    assert b"s, ended by" in done.stderr
    (tmp_path / "piped.wav").write_bytes(done.stdout)
    assert wav.header(tmp_path / "piped.wav") == whole


def test_a_closed_pipe_is_no_error(voice: Path) -> None:
    text = "one two three " * 200
    done = in_shell(f"say --text '{text}' | head -c 1000 | wc -c; exit ${{PIPESTATUS[0]}}", voice)
    assert done.returncode in (0, 141)
    assert done.stdout.strip() == b"1000"
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_nothing_is_written_for_a_text_that_cannot_be_spoken(voice: Path) -> None:
    done = in_shell("say --text '...'", voice)
    assert (done.returncode, done.stdout) == (3, b"")


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--text", "one", "--out", "-"], "add --stream"),
        (["--text", "one", "--out", "-", "--stream", "--n", "2"], "leave out --n or --stream"),
        (["--text-file", "x", "--out-dir", "y", "--stream"], "give it with --text"),
    ],
)
def test_flags_that_do_not_go_together(
    flags: list[str], problem: str, speechseq: Callable, voice: Path
) -> None:
    ended = speechseq("synthesize", "--checkpoint", voice, *flags)
    assert (ended.code, ended.out) == (2, "")
    assert problem in ended.err
