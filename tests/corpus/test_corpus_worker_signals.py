"""Signals to the whole process group end no worker; its parent does, and leaves none behind."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
import torch
from torch.utils.data import DataLoader

from speechseq.corpus.worker_signals import heed_parent_alone


class Slow(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: int) -> int:
        time.sleep(0.02)
        return index


@pytest.fixture
def batches() -> Iterator[object]:
    loader = DataLoader(Slow(), batch_size=None, num_workers=2, worker_init_fn=heed_parent_alone)
    ahead = iter(loader)
    assert [int(next(ahead)), int(next(ahead))] == [0, 1]  # one of each: both workers are ready
    yield ahead
    del ahead


@pytest.mark.parametrize("name", ["INT", "HUP", "USR1", "TERM"])
def test_signals_of_others_end_no_worker(batches: Iterator, name: str) -> None:
    pids = [str(worker.pid) for worker in batches._workers]  # type: ignore[attr-defined]
    subprocess.run(["kill", f"-{name}", *pids], check=True)
    assert [int(i) for i in batches] == list(range(2, 100))


def test_the_parent_can_end_them(batches: Iterator) -> None:
    workers = batches._workers  # type: ignore[attr-defined]
    for worker in workers:
        os.kill(worker.pid, signal.SIGTERM)
    for worker in workers:
        worker.join(5)
        assert not worker.is_alive()
