"""Endings of a command: exit codes, one message, no traceback unless the fault is ours."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from speechseq.cli.guard import guarded
from speechseq.errors import CheckpointError, ConfigError, DataError, MachineError

MAIN = "from speechseq.cli import main; raise SystemExit(main())"


def raising(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


ENDINGS = {
    "done": (lambda: None, 0, ""),
    "config": (raising(ConfigError("a", "b")), 2, "error: a\n  cure: b\n"),
    "data": (raising(DataError("a")), 3, "error: a\n"),
    "checkpoint": (raising(CheckpointError("a")), 4, "error: a\n"),
    "machine": (raising(MachineError("a")), 5, "error: a\n"),
    "full disk": (
        raising(OSError(errno.ENOSPC, "No space left on device", "x.wav")),
        5,
        "error: x.wav: cannot be written: No space left on device: FREE free\n"
        "  cure: make room on the disk, or write to another disk\n",
    ),
    "full disk in C": (
        raising(RuntimeError("I/O error: No space left on device (os error 28)")),
        5,
        "error: I/O error: No space left on device (os error 28)\n  cure: make room on the disk\n",
    ),
    "no rights": (
        raising(PermissionError(errno.EACCES, "Permission denied", "x.wav")),
        5,
        "error: x.wav: Permission denied\n  cure: change the rights, or name another place\n",
    ),
    "out of memory": (
        raising(MemoryError()),
        5,
        "error: out of memory\n  cure: free memory, or use smaller batches\n",
    ),
    "Ctrl-C": (raising(KeyboardInterrupt()), 130, "error: interrupted\n"),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_endings(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    action, code, message = ENDINGS[name]
    assert guarded(action) == code
    said = re.sub(r"[\d,]+ free", "FREE free", capsys.readouterr().err)
    assert said == message


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), FileNotFoundError(2, "No such file")])
def test_a_fault_of_ours_keeps_its_traceback(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(raising(error)) == 1
    message = capsys.readouterr().err
    assert "Traceback" in message
    assert "please report it" in message.splitlines()[-1]


def test_a_recipes_own_exit_passes_through() -> None:
    with pytest.raises(SystemExit) as ended:
        guarded(raising(SystemExit(143)))
    assert ended.value.code == 143


def test_warnings_are_single_lines(capsys: pytest.CaptureFixture[str]) -> None:
    before = warnings.showwarning
    assert guarded(lambda: warnings.warn("x.wav:\n  resampled", UserWarning, stacklevel=1)) == 0
    assert capsys.readouterr().err == "warning: x.wav: resampled\n"
    assert warnings.showwarning is before


def test_sigterm_unwinds_the_stack(tmp_path: Path) -> None:
    """Half-written files are removed, because finally clauses run."""
    program = f"""
import time
from pathlib import Path
from speechseq.cli.guard import guarded
def work():
    part = Path({str(tmp_path / "part")!r})
    try:
        part.write_text("half")
        time.sleep(60)
    finally:
        part.unlink()
raise SystemExit(guarded(work))
"""
    process = subprocess.Popen([sys.executable, "-c", program])
    while not (tmp_path / "part").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143
    assert not (tmp_path / "part").exists()


def test_the_signal_handler_is_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    guarded(lambda: None)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_reader_that_leaves_ends_the_command_quietly() -> None:
    program = "from speechseq.cli.guard import guarded\n" + (
        "raise SystemExit(guarded(lambda: [print('x' * 1000) for _ in range(1000)]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=30) == 0
    process.stderr.close()


@pytest.mark.parametrize(
    "command", [[], ["prepare"], ["train"], ["synthesize"], ["transcribe"], ["score"], ["info"]]
)
def test_help_answers_at_once(command: list[str]) -> None:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", MAIN, *command, "--help"],
        capture_output=True,
        text=True,
    )
    assert time.monotonic() - started < 3
    assert done.returncode == 0
    assert "usage: speechseq" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "numpy", "lhotse", "matplotlib"}


@pytest.mark.parametrize(
    ("argv", "code", "expected"),
    [
        ([], 2, "COMMAND"),
        (["synthesise"], 2, "did you mean 'synthesize'"),
        (["info"], 2, "required: DIR"),
        (["info", "x", "y"], 2, "unrecognized arguments: y"),
        (["synthesize", "--chekpoint", "x"], 2, "did you mean '--checkpoint'"),
        (["prepare", "ljspech", "x"], 2, "did you mean 'ljspeech'"),
        (["info", "no/such/folder"], 4, "no/such/folder"),
        (["prepare", "ljspeech", "no/such/folder"], 3, "no/such/folder"),
    ],
)
def test_the_installed_command_ends_with_its_code(
    argv: list[str], code: int, expected: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *argv],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
