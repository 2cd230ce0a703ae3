"""A compiler that is interrupted leaves no process behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from speechseq.cli.guard import guarded
from speechseq.ops.cpp.process_group import run_in_own_group

# a compiler as g++ is one: the work is done by a process of its own
SLOW = "sleep 60 & echo $! > {pid}; wait"


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def grandchild(path: Path) -> int:
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(path.read_text())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_ends_the_whole_group(tmp_path: Path, number: int) -> None:
    path, found = tmp_path / "pid", []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def send() -> None:
        found.append(grandchild(path))
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        code = guarded(lambda: run_in_own_group(["sh", "-c", SLOW.format(pid=path)], timeout=60))
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sender.join()
        signal.signal(signal.SIGINT, before)
    assert code == 128 + number
    deadline = time.monotonic() + 10
    while is_alive(found[0]):
        assert time.monotonic() < deadline
        time.sleep(0.01)


class _SlowStart(subprocess.Popen):  # type: ignore[type-arg]
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        time.sleep(1)  # the command runs already: the signal comes now


def test_a_signal_at_the_start_ends_the_group_too(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", _SlowStart)
    test_a_signal_ends_the_whole_group(tmp_path, signal.SIGTERM)


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    command = ["sh", "-c", SLOW.format(pid=tmp_path / "pid")]
    with pytest.raises(subprocess.TimeoutExpired):
        run_in_own_group(command, timeout=1)
    time.sleep(0.1)
    assert not is_alive(grandchild(tmp_path / "pid"))


def test_a_command_that_fails_says_why() -> None:
    run_in_own_group([sys.executable, "-c", ""], timeout=60)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run_in_own_group(["sh", "-c", "echo wrong >&2; exit 3"], timeout=60)
    assert (caught.value.returncode, caught.value.stderr) == (3, "wrong\n")
    with pytest.raises(FileNotFoundError):
        run_in_own_group(["no-such-compiler"], timeout=60)
