"""A damaged newest checkpoint costs the updates since the one before it, and nothing else."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from toy_run import ToyConfig, toy_trainer

from speechseq import checkpoint
from speechseq.checkpoint.folder import numbered
from speechseq.errors import CheckpointError
from speechseq.training.recovery import DamagedCheckpointWarning

FILES = ("config.json", "vocabulary.json", "model.safetensors", "resume.pt")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x80  # no ASCII any more, should it be JSON
    path.write_bytes(data)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "zeroed": zero,
    "missing": os.unlink,
    "flipped": flip,
    "a folder": replace_by_folder,
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    toy_trainer(tmp_path / "run", updates=6, checkpoint_every=2, keep=3).run()
    return tmp_path / "run"


def kept(run: Path) -> list[str]:
    return sorted(os.listdir(run / "checkpoints"))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", FILES)
def test_the_run_goes_on_from_the_one_before(
    run: Path, tmp_path: Path, file: str, damage: str
) -> None:
    DAMAGES[damage](run / "checkpoints" / "6" / file)
    with pytest.warns(DamagedCheckpointWarning) as warned:
        toy_trainer(run, updates=7, checkpoint_every=2, keep=3).run()
    said = str(warned[0].message)
    assert file in said
    assert "goes on from" in said
    assert "checkpoints/4" in said
    assert "6.damaged" in said
    assert kept(run) == ["4", "6", "6.damaged", "7", "last"]
    assert os.readlink(run / "checkpoints" / "last") == "7"
    toy_trainer(tmp_path / "whole", updates=7).run()
    expected = checkpoint.read(tmp_path / "whole").weights
    assert all(torch.equal(t, expected[n]) for n, t in checkpoint.read(run).weights.items())


def test_several_damaged_ones_are_all_named_and_kept(run: Path) -> None:
    for update in ("4", "6"):
        os.unlink(run / "checkpoints" / update / "resume.pt")
    os.mkdir(run / "checkpoints" / "6.damaged")
    with pytest.warns(DamagedCheckpointWarning) as warned:
        toy_trainer(run, updates=2).run()
    assert [f"{u}/resume.pt" in str(w.message) for u, w in zip("64", warned, strict=True)]
    assert kept(run) == ["2", "4.damaged", "6.damaged", "6.damaged2", "last"]
    assert os.readlink(run / "checkpoints" / "last") == "2"


def test_when_none_is_whole_nothing_is_renamed_and_the_cure_exists(run: Path) -> None:
    for folder in numbered(run / "checkpoints"):
        (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"6/config\.json.*2 older") as caught:
        toy_trainer(run, updates=8).run()
    assert "--run DIR" in caught.value.cure
    assert kept(run) == ["2", "4", "6", "last"]
    toy_trainer(run.parent / "another", updates=2).run()


def test_other_settings_are_no_damage(run: Path) -> None:
    with pytest.raises(CheckpointError, match="other settings"):
        toy_trainer(run, updates=8, model=ToyConfig(hidden=9)).run()
    assert kept(run) == ["2", "4", "6", "last"]


def test_a_best_that_was_damaged_leaves_no_link_to_nowhere(tmp_path: Path) -> None:
    values = iter([3.0, 2.0, 1.0, 9.0, 9.0])

    def trainer(updates: int):
        settings = {"checkpoint_every": 2, "best_by": "loss", "keep": 3}
        return toy_trainer(
            tmp_path, updates=updates, validate=lambda model: {"loss": next(values)}, **settings
        )

    trainer(6).run()
    assert os.readlink(tmp_path / "checkpoints" / "best") == "6"
    os.unlink(tmp_path / "checkpoints" / "6" / "model.safetensors")
    with pytest.warns(DamagedCheckpointWarning):
        trainer(8).run()
    assert os.readlink(tmp_path / "checkpoints" / "best") == "4"


def test_a_whole_copy_of_last_serves_where_its_twin_is_damaged(run: Path) -> None:
    last = run / "checkpoints" / "last"
    last.unlink()
    shutil.copytree(run / "checkpoints" / "6", last)
    os.unlink(run / "checkpoints" / "6" / "resume.pt")
    with pytest.warns(DamagedCheckpointWarning, match=r"goes on from .*last"):
        assert toy_trainer(run, updates=8, checkpoint_every=2).run().updates == 8
    assert kept(run) == ["2", "4", "6.damaged", "8", "last"]
