import itertools
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from resealing import change_config, replace_file
from toy_run import ToyBatches, ToyConfig, toy_loss, toy_trainer

from speechseq import checkpoint
from speechseq.errors import CheckpointError, ConfigError
from speechseq.training import log, resume, saving, trainer
from speechseq.training.optimizer import set_learning_rate

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "ema": {"ema_decay": 0.9},
    "accumulate": {"accumulate": 2},
    "adamw-bf16": {"optimizer": "adamw", "weight_decay": 0.1, "amp": "bf16"},
}


def state(run: Path) -> dict[str, Any]:
    """All that the last checkpoint of a run holds, clocks aside."""
    contents = checkpoint.read(run)
    data = checkpoint.read_file(contents.folder, "resume.pt", contents.config)
    fields = vars(resume.ResumeState.from_bytes(data, run))
    fields["tally"].pop("seconds")
    fields["random_state"].pop("python")  # the checker that executes the hints draws from it too
    return fields | {"weights": contents.weights, "update": contents.config["update"]}


def losses(run: Path) -> list[tuple[int, Any]]:
    return [(line["update"], line["loss"]) for line in log.read(run) if "loss" in line]


def differs(a: Any, b: Any, where: str = "") -> list[str]:
    """Paths at which two nests of tensors and plain data are not equal bit for bit."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return [path for key in a for path in differs(a[key], b[key], f"{where}/{key}")]
    both = isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)
    same = a.dtype == b.dtype and torch.equal(a, b) if both else a == b
    return [] if same else [where]


@pytest.mark.parametrize("variant", VARIANTS)
def test_law_8_resume_equals_uninterrupted_from_any_update(tmp_path: Path, variant: str) -> None:
    settings = VARIANTS[variant] | {"updates": 16}
    toy_trainer(tmp_path / "whole", checkpoint_every=1, **settings).run()
    expected = state(tmp_path / "whole")
    for cut in range(1, 16):
        run = tmp_path / f"cut-{cut}"
        newest = run / "checkpoints" / str(cut)
        shutil.copytree(tmp_path / "whole" / "checkpoints" / str(cut), newest)
        shutil.copy(tmp_path / "whole" / "log.jsonl", run)
        random.seed(cut)  # whatever this process drew before
        np.random.seed(cut)
        torch.manual_seed(cut)
        toy_trainer(run, checkpoint_every=1, **settings).run()
        assert differs(state(run), expected) == [], f"cut after update {cut}"
        assert losses(run) == losses(tmp_path / "whole")


def test_law_8_a_run_in_three_pieces_is_the_run_in_one(tmp_path: Path) -> None:
    toy_trainer(tmp_path / "whole", ema_decay=0.9).run()
    for updates in (3, 11, 20):
        toy_trainer(tmp_path / "pieces", updates=updates, ema_decay=0.9).run()
    assert differs(state(tmp_path / "pieces"), state(tmp_path / "whole")) == []


@pytest.mark.parametrize("forgotten", ["optimizer", "random", "batches", "own weights", "schedule"])
def test_trap_29_a_resume_that_forgets_any_part_is_caught_by_the_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: str
) -> None:
    settings = {"ema_decay": 0.9, "updates": 8}
    toy_trainer(tmp_path / "whole", **settings).run()
    toy_trainer(tmp_path / "cut", **settings | {"updates": 3}).run()
    continued = toy_trainer(tmp_path / "cut", **settings)
    if forgotten == "optimizer":
        monkeypatch.setattr(continued._optimizer, "load_state_dict", lambda state: None)
    elif forgotten == "random":
        monkeypatch.setattr(saving, "set_random_state", lambda state: None)
    elif forgotten == "batches":
        monkeypatch.setattr(ToyBatches, "load_state_dict", lambda self, state: None)
    elif forgotten == "own weights":
        elsewhere = torch.zeros(())
        monkeypatch.setattr(elsewhere, "copy_", lambda value: None)
        monkeypatch.setattr(continued._model, "get_parameter", lambda name: elsewhere)
    else:
        config, anew = continued._config, itertools.count(1)

        def from_the_start(optimizer: torch.optim.Optimizer, rate: float) -> None:
            rate = config.learning_rate * config.schedule.factor(next(anew))
            set_learning_rate(optimizer, rate)

        monkeypatch.setattr(trainer, "set_learning_rate", from_the_start)
    continued.run()
    whole, cut = state(tmp_path / "whole"), state(tmp_path / "cut")
    assert differs(cut["weights"], whole["weights"])


def test_after_a_resume_the_log_has_no_line_twice(tmp_path: Path) -> None:
    toy_trainer(tmp_path, updates=9, checkpoint_every=5, log_every=1).run()
    shutil.rmtree(tmp_path / "checkpoints" / "9")  # killed at update 9, before its checkpoint
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"update": 9, "loss": {"to')
    toy_trainer(tmp_path, updates=12, checkpoint_every=5, log_every=1).run()
    assert [update for update, _ in losses(tmp_path)] == list(range(1, 13))


def test_a_finished_run_that_is_started_again_changes_nothing(tmp_path: Path) -> None:
    first = toy_trainer(tmp_path, updates=4).run()
    before = (tmp_path / "checkpoints" / "4" / "resume.pt").stat().st_mtime_ns
    again = toy_trainer(tmp_path, updates=4).run()
    assert (again.updates, again.finished_reason) == (first.updates, "updates") == (4, "updates")
    assert (tmp_path / "checkpoints" / "4" / "resume.pt").stat().st_mtime_ns == before


def test_numbers_of_the_configuration_may_change_on_the_way(tmp_path: Path) -> None:
    toy_trainer(tmp_path, updates=4, weight_decay=0.0).run()
    continued = toy_trainer(tmp_path, updates=5, weight_decay=0.5, learning_rate=1e-9)
    continued.run()
    assert continued._optimizer.param_groups[0]["weight_decay"] == 0.5
    assert log.curves(tmp_path)["learning_rate"][-1][1] < 1e-8


def test_a_running_mean_may_begin_or_end_on_the_way(tmp_path: Path) -> None:
    toy_trainer(tmp_path, updates=3).run()
    toy_trainer(tmp_path, updates=6, ema_decay=0.9).run()
    assert differs(state(tmp_path)["own_weights"], state(tmp_path)["weights"])
    toy_trainer(tmp_path, updates=8).run()
    assert state(tmp_path)["own_weights"] is None


def test_another_model_in_the_same_run_is_refused_by_its_key(tmp_path: Path) -> None:
    toy_trainer(tmp_path, updates=2).run()
    with pytest.raises(CheckpointError, match=r"model\.hidden is 8 there, 9 here"):
        toy_trainer(tmp_path, updates=4, model=ToyConfig(hidden=9)).run()


def test_without_resume_a_run_that_has_begun_is_refused(tmp_path: Path) -> None:
    toy_trainer(tmp_path, updates=2, resume=False).run()
    with pytest.raises(ConfigError, match="already holds a checkpoint"):
        toy_trainer(tmp_path, updates=4, resume=False).run()


def test_a_copy_without_links_is_gone_on_from_too(tmp_path: Path) -> None:
    toy_trainer(tmp_path / "run", updates=4).run()
    shutil.copytree(
        tmp_path / "run" / "checkpoints" / "last", tmp_path / "copy" / "checkpoints" / "last"
    )
    toy_trainer(tmp_path / "copy", updates=6).run()
    toy_trainer(tmp_path / "run", updates=6).run()
    assert differs(state(tmp_path / "copy"), state(tmp_path / "run")) == []
    assert os.path.islink(tmp_path / "copy" / "checkpoints" / "last")


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_law_9_a_bomb_in_the_resume_file_does_not_go_off(tmp_path: Path) -> None:
    run = tmp_path / "run"
    toy_trainer(run, updates=2).run()
    path = run / "checkpoints" / "2" / "resume.pt"
    torch.save({"optimizer": Bomb(tmp_path / "boom")}, path)
    replace_file(path.parent, path.name, path.read_bytes())
    with pytest.raises(CheckpointError, match=r"resume\.pt: not the state of a run") as caught:
        toy_trainer(run, updates=4).run()
    assert "--run DIR" in caught.value.cure
    assert not (tmp_path / "boom").exists()
    torch.load(path, weights_only=False)  # and it was a live one
    assert (tmp_path / "boom").exists()


def test_a_cut_resume_file_is_named(tmp_path: Path) -> None:
    toy_trainer(tmp_path, updates=2).run()
    os.truncate(tmp_path / "checkpoints" / "2" / "resume.pt", 100)
    with pytest.raises(CheckpointError, match=r"resume\.pt: 100 bytes, [0-9]+ were written"):
        toy_trainer(tmp_path, updates=4).run()


def test_all_random_states_come_back() -> None:
    before = resume.random_state()
    drawn = [(torch.rand(2).tolist(), np.random.rand(), random.random()) for _ in range(3)]
    resume.set_random_state(before)
    assert [(torch.rand(2).tolist(), np.random.rand(), random.random()) for _ in range(3)] == drawn


def test_what_is_drawn_aside_leaves_no_trace() -> None:
    before = resume.random_state() | {"python": None}
    values = []
    for _ in range(2):
        with resume.aside(5):
            values.append((torch.rand(1).item(), np.random.rand(), random.gauss()))
    assert values[0] == values[1]
    assert differs(resume.random_state() | {"python": None}, before) == []


def test_losses_differ_without_dropouts_random_state() -> None:
    """The toy draws from the random state, or the law above would be empty."""
    trainer = ToyConfig().build()
    batch = next(ToyBatches())
    results = {toy_loss(trainer(batch), batch, update=1).total.item() for _ in range(5)}
    assert len(results) > 1


def test_a_run_of_an_older_version_goes_on_where_a_new_setting_has_its_default(
    tmp_path: Path,
) -> None:
    toy_trainer(tmp_path, updates=2).run()
    # as if the version that wrote it had not known it
    change_config(checkpoint.read(tmp_path).folder, lambda c: c["model"].pop("norm"))
    assert toy_trainer(tmp_path, updates=3).run().updates == 3
    change_config(checkpoint.read(tmp_path).folder, lambda c: c["model"].update(hidden=9))
    with pytest.raises(CheckpointError, match=r"model\.hidden is 9 there, 8 here"):
        toy_trainer(tmp_path, updates=4).run()
