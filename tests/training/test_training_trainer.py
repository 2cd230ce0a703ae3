import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from toy_run import ToyBatch, ToyBatches, ToyConfig, ToyLosses, toy_loss, toy_trainer

from speechseq import checkpoint
from speechseq.errors import ConfigError, DataError, MachineError
from speechseq.training import log
from speechseq.training.config import TrainerConfig
from speechseq.training.samples import Sample
from speechseq.training.signals import Interrupted
from speechseq.training.trainer import Trainer


def weights(run: Path) -> dict[str, Tensor]:
    return checkpoint.read(run).weights


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def checkpoints(run: Path) -> list[str]:
    return sorted(os.listdir(run / "checkpoints"))


def test_the_toy_is_learnt(tmp_path: Path) -> None:
    settings = {"updates": 200, "checkpoint_every": 200, "learning_rate": 0.02}
    toy_trainer(tmp_path, model=ToyConfig(dropout=0.0, norm=False), **settings).run()
    curve = log.curves(tmp_path)["loss/total"]
    first, last = (sum(v for _, v in part) / 20 for part in (curve[:20], curve[-20:]))
    assert last < 0.1 * first


def test_a_run_leaves_the_folder_that_the_design_promises(tmp_path: Path) -> None:
    def show(model: nn.Module) -> list[Sample]:
        return [
            Sample(
                name="a/b c",
                text="hi",
                alignment=torch.eye(3, 2),
                mel=torch.randn(9, 5),
                waveform=torch.sin(torch.arange(500.0)),
                sample_rate=8000,
            )
        ]

    summary = toy_trainer(tmp_path, updates=7, samples=show, tensorboard=True).run()
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith(".")) == [
        "audio",
        "checkpoints",
        "log.jsonl",
        "pictures",
        "tensorboard",
    ]
    assert checkpoints(tmp_path) == ["5", "7", "last"]
    assert os.readlink(tmp_path / "checkpoints" / "last") == "7"
    assert sorted(os.listdir(tmp_path / "checkpoints" / "7")) == [
        "config.json",
        "model.safetensors",
        "resume.pt",
        "vocabulary.json",
    ]
    names = sorted(os.listdir(tmp_path / "pictures")) + sorted(os.listdir(tmp_path / "audio"))
    assert names == [
        *(f"{u}-a_b_c-{what}.png" for u in (5, 7) for what in ("alignment", "mel")),
        "5-a_b_c.wav",
        "7-a_b_c.wav",
    ]
    assert (summary.updates, summary.finished_reason) == (7, "updates")
    assert checkpoint.read(summary.checkpoint).config["update"] == 7
    assert next((tmp_path / "tensorboard").iterdir()).stat().st_size > 500


@pytest.mark.parametrize("waveform", [torch.zeros(0), torch.full((9,), float("nan"))])
def test_a_voice_that_cannot_be_played_yet_does_not_end_its_training(
    tmp_path: Path, waveform: Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    def show(model: nn.Module) -> list[Sample]:
        frames = torch.full((1, 5), float("nan"))
        return [
            Sample(name="a", text="", mel=frames, waveform=waveform, sample_rate=8000),
            Sample(name="b", text="", alignment=torch.zeros(0, 3), mel=torch.zeros(0, 5)),
        ]

    assert toy_trainer(tmp_path, updates=7, samples=show).run().updates == 7
    assert os.listdir(tmp_path / "audio") == []
    assert capsys.readouterr().out.count("a.wav") == 2


# looking


def test_trap_26_dropout_is_off_where_one_looks_and_on_again_after(tmp_path: Path) -> None:
    batch = ToyBatches().items[0]
    seen = []

    def validate(model: nn.Module) -> dict[str, float]:
        assert not torch.is_grad_enabled()
        first, second = model(batch), model(batch)
        seen.append((model.training, torch.equal(first, second)))
        return {"loss": 1.0}

    trained = []

    def loss(output: Tensor, batch: ToyBatch, *, update: int) -> ToyLosses:
        trained.append(trainer._model.training)
        return toy_loss(output, batch, update=update)

    trainer = toy_trainer(tmp_path, updates=6, validate_every=2, validate=validate, loss=loss)
    trainer._model.eval()  # as one finds it after trying it out
    trainer.run()
    assert seen == [(False, True)] * 4  # at 2, 4, 5 (the checkpoint) and 6
    assert trained == [True] * 6


def test_a_part_that_is_frozen_in_eval_mode_stays_so(tmp_path: Path) -> None:
    modes = []

    def loss(output: Tensor, batch: ToyBatch, *, update: int) -> ToyLosses:
        norm = trainer._model.get_submodule("layers.1")
        modes.append(norm.training)
        norm.eval()
        return toy_loss(output, batch, update=update)

    trainer = toy_trainer(
        tmp_path, updates=4, validate_every=1, validate=lambda model: {"x": 0.0}, loss=loss
    )
    trainer.run()
    assert modes == [True, False, False, False]


def test_how_often_one_looks_does_not_change_the_course(tmp_path: Path) -> None:
    def validate(model: nn.Module) -> dict[str, float]:
        return {"noise": torch.randn(3).sum().item() + random.random()}

    toy_trainer(tmp_path / "seldom", checkpoint_every=20).run()
    often = {"checkpoint_every": 3, "validate_every": 2, "log_every": 1}
    toy_trainer(tmp_path / "often", validate=validate, **often).run()
    assert same(weights(tmp_path / "seldom"), weights(tmp_path / "often"))


def test_the_running_mean_is_what_is_validated_and_saved(tmp_path: Path) -> None:
    seen = {}

    def validate(model: nn.Module) -> dict[str, float]:
        seen.update({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return {"loss": 0.0}

    trainer = toy_trainer(tmp_path, ema_decay=0.9, validate=validate)
    trainer.run()
    assert same(weights(tmp_path), seen)
    assert not same(trainer._model.state_dict(), seen)
    assert trainer._ema is not None
    assert all(torch.equal(seen[name], mean) for name, mean in trainer._ema.mean.items())


def test_the_best_checkpoint_stays_with_the_newest(tmp_path: Path) -> None:
    scores = iter([5.0, 1.0, float("nan"), 3.0, 2.0])
    settings = {"updates": 5, "checkpoint_every": 1, "keep": 2, "best_by": "wer"}
    toy_trainer(tmp_path, validate=lambda model: {"wer": next(scores)}, **settings).run()
    assert checkpoints(tmp_path) == ["2", "4", "5", "best", "last"]
    assert os.readlink(tmp_path / "checkpoints" / "best") == "2"


def test_the_best_is_remembered_over_a_resume(tmp_path: Path) -> None:
    settings = {"checkpoint_every": 1, "keep": 1, "best_by": "wer"}
    toy_trainer(tmp_path, validate=lambda model: {"wer": 1.0}, updates=2, **settings).run()
    toy_trainer(tmp_path, validate=lambda model: {"wer": 2.0}, updates=4, **settings).run()
    assert checkpoints(tmp_path) == ["1", "4", "best", "last"]


def test_a_best_by_that_nothing_gives_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing is validated"):
        toy_trainer(tmp_path, best_by="wer")
    with pytest.raises(ConfigError, match="validation gives no 'wer'\n  cure: it gives: cer"):
        toy_trainer(tmp_path, best_by="wer", validate=lambda model: {"cer": 1.0}).run()


def test_a_validation_that_fails_costs_no_training(tmp_path: Path) -> None:
    def validate(model: nn.Module) -> dict[str, float]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        toy_trainer(tmp_path, validate=validate).run()
    assert checkpoints(tmp_path) == ["5", "last"]


# numbers that are not finite


def test_updates_that_are_not_finite_are_skipped_counted_and_logged(tmp_path: Path) -> None:
    batches = ToyBatches(poison=frozenset({2}))
    summary = toy_trainer(tmp_path, updates=14, batches=batches).run()
    assert summary.skipped == 2  # two epochs of seven
    skips = [line for line in log.read(tmp_path) if line.get("event") == "skipped"]
    assert [line["ids"] for line in skips] == [["item-2"]] * 2
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path).values())
    assert all(line["loss"]["total"] for line in log.read(tmp_path) if line.get("loss"))


def test_too_many_in_a_row_end_the_run_and_name_the_batch(tmp_path: Path) -> None:
    batches = ToyBatches(poison=frozenset(range(7)))
    with pytest.raises(DataError, match="3 such updates in a row") as caught:
        toy_trainer(tmp_path, batches=batches, most_skips=3, accumulate=2).run()
    assert "update 3: loss or gradient not finite" in caught.value.problem
    assert caught.value.problem.count("item-") == 2
    assert "learning_rate" in caught.value.cure


# the end


def test_when_time_is_up_the_run_is_saved(tmp_path: Path) -> None:
    summary = toy_trainer(tmp_path, updates=10**6, max_seconds=0.2).run()
    assert summary.finished_reason == "time"
    assert 0 < summary.updates < 10**6
    assert checkpoint.read(tmp_path).config["update"] == summary.updates


def test_batches_that_end_are_an_error(tmp_path: Path) -> None:
    class Ending(ToyBatches):
        def __next__(self) -> ToyBatch:
            if self.epoch:
                raise StopIteration
            return super().__next__()

    with pytest.raises(DataError, match="update 8: there are no more batches"):
        toy_trainer(tmp_path, batches=Ending()).run()


def send(number: int, trainer: Trainer) -> None:
    """Send this process a signal and wait until it has come: two at once would count as one."""
    os.kill(os.getpid(), number)
    deadline = time.monotonic() + 10
    while trainer._stop_request.signal is None and time.monotonic() < deadline:
        time.sleep(0.001)


@pytest.fixture
def heard_ctrl_c() -> Iterator[None]:
    """SIGINT as a terminal's job has it: a shell's background job is born with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_after_its_update_with_a_checkpoint(
    tmp_path: Path, number: signal.Signals, code: int, heard_ctrl_c: None
) -> None:
    def loss(output: Tensor, batch: ToyBatch, *, update: int) -> ToyLosses:
        if update == 3:
            send(number, trainer)
        return toy_loss(output, batch, update=update)

    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    trainer = toy_trainer(tmp_path / "cut", loss=loss)
    with pytest.raises(Interrupted) as caught:
        trainer.run()
    assert caught.value.code == code
    assert checkpoints(tmp_path / "cut") == ["3", "last"]
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    toy_trainer(tmp_path / "cut").run()
    toy_trainer(tmp_path / "whole").run()
    assert same(weights(tmp_path / "cut"), weights(tmp_path / "whole"))


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    # a shell's background job is born with SIGINT ignored, and would ignore the second one
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def loss(output: Tensor, batch: ToyBatch, *, update: int) -> ToyLosses:
        send(signal.SIGINT, trainer)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
        return toy_loss(output, batch, update=update)

    trainer = toy_trainer(tmp_path, loss=loss)
    try:
        with pytest.raises(KeyboardInterrupt):
            trainer.run()
    finally:
        signal.signal(signal.SIGINT, before)


def test_it_runs_in_a_thread_too(tmp_path: Path) -> None:
    thread = threading.Thread(target=toy_trainer(tmp_path, updates=2).run)
    thread.start()
    thread.join()
    assert checkpoints(tmp_path) == ["2", "last"]


def test_a_full_disk_leaves_the_checkpoints_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(handle: int) -> None:
        if os.path.lexists(tmp_path / "checkpoints" / "last"):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(MachineError, match="No space left on device"):
        toy_trainer(tmp_path).run()
    monkeypatch.undo()
    assert checkpoints(tmp_path) == ["5", "last"]
    toy_trainer(tmp_path).run()
    toy_trainer(tmp_path / "whole").run()
    assert same(weights(tmp_path), weights(tmp_path / "whole"))


def test_a_full_memory_names_the_batch_and_keeps_what_was_saved(tmp_path: Path) -> None:
    def loss(output: Tensor, batch: ToyBatch, *, update: int) -> ToyLosses:
        if update == 7:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return toy_loss(output, batch, update=update)

    with pytest.raises(MachineError, match=r"update 7: .* is full; batch: \['item-"):
        toy_trainer(tmp_path, loss=loss).run()
    assert checkpoints(tmp_path) == ["5", "last"]


def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="device cuda:63 cannot be used"):
        toy_trainer(tmp_path, device="cuda:63")


def test_a_run_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot be made"):
        toy_trainer(tmp_path / "file" / "run").run()


# the log


def test_a_line_of_the_log_says_where_the_run_stands(tmp_path: Path) -> None:
    toy_trainer(tmp_path, updates=8, log_every=4, checkpoint_every=8, accumulate=2).run()
    first, second = (line for line in log.read(tmp_path) if "loss" in line)
    assert (first["update"], second["update"]) == (4, 8)
    assert set(first) == {
        *("update", "epoch", "loss", "learning_rate", "gradient_norm", "seconds"),
        *("frames_per_second", "memory_mb", "skipped"),
    }
    assert first["loss"]["total"] == pytest.approx(
        first["loss"]["square"] + first["loss"]["absolute"], rel=1e-5
    )
    assert (first["learning_rate"], second["epoch"]) == (0.05, 2)
    start = log.read(tmp_path)[0]
    assert TrainerConfig.from_dict(start["config"]).accumulate == 2


def test_the_logged_loss_is_the_mean_of_all_items_since_the_last_line(tmp_path: Path) -> None:
    seen = []

    def loss(output: Tensor, batch: ToyBatch, *, update: int) -> ToyLosses:
        losses = toy_loss(output, batch, update=update)
        seen.append((losses.total.item() * batch.weight, batch.weight))
        return losses

    toy_trainer(tmp_path, updates=6, log_every=6, checkpoint_every=6, loss=loss).run()
    expected = sum(total for total, _ in seen) / sum(weight for _, weight in seen)
    assert log.curves(tmp_path)["loss/total"] == [(6, pytest.approx(expected, rel=1e-6))]


def test_numbers_that_are_not_finite_are_null_since_json_has_no_nan(tmp_path: Path) -> None:
    with log.Log(tmp_path, update=0, tensorboard=False) as written:
        written.write(1, {"loss": {"total": float("nan"), "stop": 1.0}})
        written.write(2, {"event": "noted", "config": {"a": 1}})
    for line in (tmp_path / "log.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(name))
    assert log.read(tmp_path)[0]["loss"] == {"total": None, "stop": 1.0}
    assert log.curves(tmp_path) == {"loss/stop": [(1, 1.0)]}


def test_a_log_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"log\.jsonl: no such file"):
        log.read(tmp_path)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"updates": 0}, "updates: 0"),
        ({"learning_rate": -1.0}, "learning_rate: -1.0"),
        ({"clip_norm": 0.0}, "clip_norm: 0.0"),
        ({"ema_decay": 1.0}, "ema_decay: 1.0"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"most_skips": 0}, "most_skips"),
        ({"keep": 0}, "keep: 0"),
    ],
)
def test_settings_without_sense_are_refused(numbers: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainerConfig(**numbers)
    with pytest.raises(ConfigError, match="updates: expected int, got '1e5'"):
        TrainerConfig.from_dict({"updates": "1e5"})
