"""Signals end a run with its update saved; a second one loses it, and says so."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from torch import Tensor
from toy_run import ToyBatch, ToyLosses, toy_loss, toy_trainer

from speechseq.checkpoint.folder import numbered
from speechseq.cli.guard import guarded


def train(run: Path, seconds: float) -> None:
    def loss(output: Tensor, batch: ToyBatch, *, update: int) -> ToyLosses:
        if update < 5:
            print("in update", update, flush=True)
        time.sleep(seconds)
        return toy_loss(output, batch, update=update)

    torch.set_num_threads(1)
    settings = {"updates": 500, "checkpoint_every": 500, "log_every": 3}
    toy_trainer(run, loss=loss, **settings).run()


class Child:
    """A new process that trains; a fork cannot once this process has used autograd's threads."""

    def __init__(self, run: Path, seconds: float, ignored: Sequence[int] = ()) -> None:
        words = [sys.executable, __file__, str(run), str(seconds), *(str(int(n)) for n in ignored)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout
        assert self.process.stderr
        self.out, self.err = self.process.stdout, self.process.stderr

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def wait_for_update(self, update: int) -> None:
        for line in self.out:
            if line.startswith(f"in update {update}"):
                return
        pytest.fail(f"it ended before update {update}: {self.err.read()}")

    def end(self) -> tuple[int, str]:
        """The exit code, and what was said on standard error."""
        with self.out, self.err:
            said = self.err.read()
        return self.process.wait(), said


def start(run: Path, seconds: float, ignored: Sequence[int] = ()) -> Child:
    child = Child(run, seconds, ignored)
    child.wait_for_update(2)
    return child


def saved(run: Path) -> list[str]:
    return [path.name for path in numbered(run / "checkpoints")]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM, signal.SIGINT])
def test_every_signal_saves_the_update_and_says_what_a_second_one_does(
    tmp_path: Path, number: signal.Signals
) -> None:
    child = start(tmp_path, 0.3)
    child.send(number)
    if number != signal.SIGINT:
        child.send(number)  # a closing terminal and `timeout` send theirs twice
    code, said = child.end()
    assert code == 128 + number
    assert saved(tmp_path) == ["2"]
    name = "Ctrl-C" if number == signal.SIGINT else number.name
    assert f"{name}: ends after this update, with a checkpoint" in said
    assert "a second Ctrl-C or SIGTERM ends at once and loses" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_one_ends_at_once_and_says_what_is_lost(
    tmp_path: Path, number: signal.Signals
) -> None:
    child = start(tmp_path, 0.5)
    child.send(signal.SIGHUP)
    time.sleep(0.1)
    child.send(number)
    code, said = child.end()
    assert code == 128 + number
    assert saved(tmp_path) == []
    assert "what came since the last checkpoint is lost" in said
    assert "Traceback" not in said


def test_what_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    child = start(tmp_path, 0.1, ignored=[signal.SIGHUP])
    child.send(signal.SIGHUP)
    child.wait_for_update(4)
    child.send(signal.SIGTERM)
    code, said = child.end()
    assert code == 143
    assert "SIGHUP" not in said
    assert len(saved(tmp_path)) == 1


def test_output_that_nobody_reads_ends_no_training(tmp_path: Path) -> None:
    """Nobody reads the output after SIGHUP of a terminal, or after `| head -1`."""
    child = start(tmp_path, 0.1)
    child.wait_for_update(4)
    child.out.close()
    child.err.close()
    time.sleep(1)  # lines of the log come and go
    child.send(signal.SIGHUP)
    assert child.process.wait() == 129
    assert len(saved(tmp_path)) == 1


def work(run: Path, seconds: float, ignored: Sequence[int]) -> NoReturn:
    """Train in this process, with the signals as a shell sets them, and end it."""
    code = 99
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
        code = guarded(lambda: train(run, seconds))
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        os._exit(code)


if __name__ == "__main__":
    work(Path(sys.argv[1]), float(sys.argv[2]), [int(number) for number in sys.argv[3:]])
