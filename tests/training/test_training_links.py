"""Whatever a run writes, a link that stands in its place keeps what it leads to."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn
from toy_run import toy_trainer

from speechseq.errors import ConfigError
from speechseq.training.samples import Sample


def show(model: nn.Module) -> list[Sample]:
    return [
        Sample(
            name="a",
            text="a",
            alignment=torch.eye(3, 2),
            mel=torch.randn(9, 5),
            waveform=torch.sin(torch.arange(500.0)),
            sample_rate=8000,
        )
    ]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text('{"update": 0, "mine": "years of work"}\n')
    return path


def train(run: Path, updates: int) -> None:
    settings = {"updates": updates, "checkpoint_every": updates, "tensorboard": True}
    toy_trainer(run, samples=show, **settings).run()


@pytest.mark.parametrize("name", [".lock", "log.jsonl"])
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_lock_and_log_never_follow_a_link(
    tmp_path: Path, victim: Path, name: str, link: object
) -> None:
    before = victim.read_bytes()
    (tmp_path / "run").mkdir()
    link(victim, tmp_path / "run" / name)  # type: ignore[operator]
    if link is os.symlink:
        with pytest.raises(ConfigError, match=rf"{name}: is a link to .*\n  cure: remove it"):
            train(tmp_path / "run", 2)
    else:
        train(tmp_path / "run", 2)
    assert victim.read_bytes() == before


@pytest.mark.parametrize("name", [".lock", "log.jsonl"])
def test_a_pipe_in_their_place_does_not_stop_the_run_for_ever(tmp_path: Path, name: str) -> None:
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run" / name)
    with pytest.raises(ConfigError, match=f"{name}: is a pipe"):
        train(tmp_path / "run", 2)


def test_no_other_file_of_a_run_follows_one(tmp_path: Path, victim: Path) -> None:
    """A first run tells the names; in the next one each of them is a link."""
    before = victim.read_bytes()
    train(tmp_path / "first", 2)
    names = [
        path.relative_to(tmp_path / "first")
        for path in (tmp_path / "first").rglob("*")
        if path.is_file() and not {"checkpoints", "tensorboard"} & set(path.parts)
    ]
    written = [name for name in names if str(name) not in (".lock", "log.jsonl")]
    assert len(written) == 3  # two pictures and a wav
    old = [name.with_name(f".{name.name}.tmp") for name in (*names, Path("checkpoints/last"))]
    old += [Path("checkpoints/last"), Path("checkpoints/.last.link.tmp")]  # names of earlier ones
    for name in (*written, *old):
        path = tmp_path / "second" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(victim, path)
    train(tmp_path / "second", 2)
    assert victim.read_bytes() == before
    for name in written:
        assert not (tmp_path / "second" / name).is_symlink()
    assert os.readlink(tmp_path / "second" / "checkpoints" / "last") == "2"


def test_a_checkpoint_never_replaces_what_a_link_leads_to(tmp_path: Path) -> None:
    train(tmp_path / "mine", 2)
    mine = tmp_path / "mine" / "checkpoints" / "2"
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    os.symlink(mine, run / "checkpoints" / "4")
    toy_trainer(run, updates=4, checkpoint_every=4, resume=True, keep=1).run()
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before
    assert not [name for name in os.listdir(run / "checkpoints") if name.endswith(".tmp")]
