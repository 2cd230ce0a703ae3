"""A full disk costs a message with the bytes needed and free, and no training in silence."""

import errno
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from toy_run import toy_trainer

from speechseq.errors import MachineError
from speechseq.training import log
from speechseq.training.appended_file import AppendedFile

FULL = r"cannot be written: No space left on device: [0-9,]+ bytes needed, [0-9,]+ free"


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A real limit of the system: a write beyond it is cut short, the next one fails."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def lines(path: Path) -> list[int]:
    return [json.loads(line)["update"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_checkpoint_says_needed_and_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match=r": [0-9,]+ bytes needed, [0-9,]+ free") as caught:
        toy_trainer(tmp_path, updates=2).run()
    needed = int(caught.value.problem.split(": ")[-1].split(" bytes")[0].replace(",", ""))
    monkeypatch.undo()
    folder = toy_trainer(tmp_path, updates=2).run().checkpoint
    assert needed == pytest.approx(sum(f.stat().st_size for f in folder.iterdir()), rel=0.02)
    assert ("quota" if number == errno.EDQUOT else "disk") in caught.value.cure


def test_a_log_that_finds_room_again_has_every_line(tmp_path: Path) -> None:
    file = AppendedFile(tmp_path / "log")
    file.write(b"one\n")
    with largest_file(6), pytest.warns(UserWarning, match="File too large: 4 bytes needed") as said:
        [file.write(line) for line in (b"two\n", b"three\n")]
    assert len(said) == 1
    assert "tried again, training goes on" in str(said[0].message)
    assert (tmp_path / "log").read_bytes() == b"one\n"  # whole lines alone
    file.write(b"four\n")
    file.close()
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\nthree\nfour\n"


@pytest.fixture
def full_log(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """os.write to files of a log fails while the list is not empty."""
    state, write = [True], os.write

    def limited(handle: int, data: bytes) -> int:
        name = os.readlink(f"/proc/self/fd/{handle}")
        if state and ("log.jsonl" in name or "tfevents" in name) and len(data) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, data)

    monkeypatch.setattr(os, "write", limited)
    return state


def test_a_run_trains_on_when_its_log_is_full_and_says_so(
    tmp_path: Path, full_log: list[bool]
) -> None:
    with (
        pytest.warns(UserWarning, match=rf"log\.jsonl: {FULL}"),
        pytest.raises(MachineError, match=rf"log\.jsonl: {FULL}"),
    ):
        toy_trainer(tmp_path, updates=6).run()
    assert os.readlink(tmp_path / "checkpoints" / "last") == "6"  # all of it is kept
    full_log.clear()
    toy_trainer(tmp_path, updates=8).run()
    assert lines(tmp_path / "log.jsonl")[-1] == 8


def test_tensorboard_is_no_reason_to_stop_either(tmp_path: Path, full_log: list[bool]) -> None:
    full_log.clear()
    with log.Log(tmp_path, update=0, tensorboard=True) as written:
        full_log.append(True)
        with pytest.warns(UserWarning, match=FULL):
            written.write(1, {"loss": {"total": 2.0}})
        full_log.clear()
        written.write(2, {"loss": {"total": 1.0}})
    (path,) = (tmp_path / "tensorboard").iterdir()
    events = list(EventFileLoader(str(path)).Load())
    assert [(e.step, e.summary.value[0].tag) for e in events if e.summary.value] == [
        (1, "loss/total"),
        (2, "loss/total"),
    ]
    assert lines(tmp_path / "log.jsonl") == [1, 2]


def test_another_error_is_not_hidden_by_the_log(tmp_path: Path, full_log: list[bool]) -> None:
    with pytest.warns(UserWarning, match=FULL), pytest.raises(ZeroDivisionError):
        toy_trainer(tmp_path, updates=6, loss=lambda *_, update: 1 / 0).run()
