import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from toy_run import toy_trainer

from speechseq import checkpoint
from speechseq.checkpoint.folder import numbered
from speechseq.errors import ConfigError

UPDATES = 600  # a checkpoint after each: most of the time one is being written


def start(run: Path, updates: int = UPDATES) -> subprocess.Popen:
    script = Path(__file__).with_name("toy_run.py")
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(script), str(run), str(updates)],
        stdout=subprocess.DEVNULL,
        env=environment,
    )


def wait_for(run: Path, update: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not any(int(p.name) >= update for p in numbered(run / "checkpoints")):
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_law_8_a_killed_run_leaves_whole_checkpoints_and_goes_on_from_them(tmp_path: Path) -> None:
    run = tmp_path / "run"
    killed = start(run)
    wait_for(run, 4, killed)
    with pytest.raises(ConfigError, match="another process is training here"):
        toy_trainer(run).run()
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    reached = newest_whole(run)

    asked_to_stop = start(run)
    wait_for(run, reached + 4, asked_to_stop)
    asked_to_stop.send_signal(signal.SIGTERM)
    assert asked_to_stop.wait(60) == 143
    updates = newest_whole(run) + 5

    toy_trainer(run, updates=updates, checkpoint_every=1, keep=3).run()
    toy_trainer(tmp_path / "whole", updates=updates).run()
    assert newest_whole(run) == updates
    expected = checkpoint.read(tmp_path / "whole").weights
    for name, tensor in checkpoint.read(run).weights.items():
        assert torch.equal(tensor, expected[name])
    left = [name for name in os.listdir(run / "checkpoints") if name.startswith(".")]
    assert left == []  # what the kill left half-written is cleared away


def newest_whole(run: Path) -> int:
    """The newest checkpoint, after all that have a name were read and found whole."""
    folders = numbered(run / "checkpoints")
    return max(checkpoint.read(folder).config["update"] for folder in folders)
