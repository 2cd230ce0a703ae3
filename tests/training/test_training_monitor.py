"""The monitor: early validations, findings said once, and what happens at a collapse."""

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny_tacotron import MELS, SYMBOLS, TINY, tiny_batch
from torch import nn

from speechseq import checkpoint
from speechseq.audio.mel import AudioConfig
from speechseq.batch import TTSBatch
from speechseq.errors import DataError
from speechseq.models.gradual import GradualReductionConfig
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.models.tacotron import Tacotron
from speechseq.text.vocabulary import Vocabulary
from speechseq.training import log
from speechseq.training.config import TrainerConfig
from speechseq.training.doctor import diagnose, read_history
from speechseq.training.doctor_validation import doctor_validation
from speechseq.training.ema import EMA
from speechseq.training.monitor import Monitor
from speechseq.training.resizing import raise_reduction_factor
from speechseq.training.restart import ATTENTION, restart_attention
from speechseq.training.saving import ModelDescription
from speechseq.training.trainer import Trainer

LOSS = TacotronLoss(TacotronLossConfig(guide=1.0))
GOOD = {"focus": 0.8, "coverage": 1.0, "monotonicity": 1.0, "stop_accuracy": 0.99}
LOST = GOOD | {"focus": 0.1}


class Endless:
    """The same few batches again and again."""

    def __init__(self) -> None:
        self.position = 0

    def __next__(self) -> TTSBatch:
        self.position += 1
        return tiny_batch(seed=self.position % 3)

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]


def build(kind: str = "tacotron2") -> Tacotron:
    torch.manual_seed(1)
    return TINY[kind]().build(symbols=SYMBOLS, mels=MELS, bins=9)


def train(run: Path, values: list[dict] | None = None, **numbers) -> Trainer:
    """Train a tiny Tacotron whose validations give `values`, in turn; the last one stays."""
    settings = TrainerConfig(
        **{"updates": 6, "validate_every": 1, "checkpoint_every": 3, "tensorboard": False}
        | {"weight_decay": 0.0, "log_every": 1}
        | numbers
    )
    measured = doctor_validation(LOSS, lambda: [tiny_batch()], AudioConfig(mels=MELS))
    trainer = Trainer(
        build(),
        LOSS,
        Endless(),
        settings,
        run=run,
        about=ModelDescription(
            model=TINY["tacotron2"](), audio=AudioConfig(), vocabulary=Vocabulary.characters("abcd")
        ),
        validate=lambda model: (
            measured(model)
            if values is None
            else values[min(trainer._counters.update, len(values)) - 1]
        ),
    )
    trainer.run()
    return trainer


def events(run: Path, name: str) -> list[dict]:
    return [line for line in log.read(run) if line.get("event") == name]


def test_the_log_of_a_run_has_the_measures_of_every_validation(tmp_path):
    train(tmp_path)
    history, updates = read_history(tmp_path)
    assert [update for update, _ in history] == [0, 1, 2, 3, 4, 5, 6]
    assert history[0][1] == {"weight_size": pytest.approx(0.1, abs=0.1), "learning_rate": 1e-3}
    assert updates == 6
    for name in (*GOOD, "entropy", "gap", "loss", "utterances", "train_total", "stop_skill"):
        assert name in history[-1][1], name
    assert history[-1][1]["moved_encoder"] > 0


@pytest.mark.parametrize(
    ("numbers", "early"),
    [
        ({"updates": 900, "checkpoint_every": 300}, [45, 90]),
        ({"updates": 900, "checkpoint_every": 300, "validate_every": 60}, []),
        ({"updates": 900, "checkpoint_every": 300, "validate_every": 200}, [45, 90]),
        ({"updates": 90, "checkpoint_every": 30}, []),
    ],
)
def test_a_run_is_validated_in_its_first_tenth(numbers, early):
    config = TrainerConfig(**numbers)
    model = nn.Linear(1, 1)
    monitor = Monitor(model, torch.optim.Adam(model.parameters()), None, config)
    assert [update for update in range(1, 901) if monitor.is_early(update)] == early


def test_a_learning_rate_that_is_too_large_is_known_by_the_first_weights(tmp_path):
    train(tmp_path, [GOOD], updates=2, learning_rate=0.5)
    history, updates = read_history(tmp_path)
    (found,) = diagnose(history, updates)
    assert found.problem.startswith("learning rate:")


def test_a_finding_is_said_once_and_not_again_after_a_resume(tmp_path, capsys):
    train(tmp_path, [LOST], updates=4)
    assert capsys.readouterr().out.count("cure:") == 1
    train(tmp_path, [LOST], updates=8)
    assert capsys.readouterr().out.count("cure:") == 0
    (found,) = events(tmp_path, "finding")
    assert found["problem"].startswith("attention:")
    assert "finding" not in str(log.curves(tmp_path).keys())


def test_a_collapse_is_only_said_by_default(tmp_path, capsys):
    train(tmp_path, [GOOD, GOOD, LOST])
    assert "collapsed" in capsys.readouterr().out
    assert not events(tmp_path, "restart")


def test_a_collapse_can_stop_the_run_and_the_updates_are_saved(tmp_path):
    with pytest.raises(DataError, match="collapsed"):
        train(tmp_path, [GOOD, GOOD, LOST], on_collapse="stop")
    assert checkpoint.read(tmp_path).config["update"] == 3


def test_a_collapse_can_restart_the_attention_and_the_run_resumes_exactly(tmp_path):
    values = [GOOD, GOOD, LOST, LOST, GOOD, GOOD, GOOD, LOST]
    train(tmp_path / "whole", values, on_collapse="restart", updates=9, ema_decay=0.9)
    whole = [line["update"] for line in events(tmp_path / "whole", "restart")]
    assert whole == [3, 8]  # at 4 the history has just begun anew
    for updates in (3, 5, 9):
        train(tmp_path / "parts", values, on_collapse="restart", updates=updates, ema_decay=0.9)
    assert [line["update"] for line in events(tmp_path / "parts", "restart")] == whole
    ours, theirs = (checkpoint.read(tmp_path / name).weights for name in ("whole", "parts"))
    for name, weight in ours.items():
        assert torch.equal(weight, theirs[name]), name


def test_a_collapse_can_raise_r_and_the_run_resumes_exactly(tmp_path, capsys):
    values = [GOOD, GOOD, LOST, LOST, GOOD, GOOD]
    train(tmp_path / "whole", values, on_collapse="raise_r", updates=6, ema_decay=0.9)
    assert "frames a step" in capsys.readouterr().out
    assert [line["update"] for line in events(tmp_path / "whole", "restart")] == [3]
    for updates in (3, 4, 6):
        train(tmp_path / "parts", values, on_collapse="raise_r", updates=updates, ema_decay=0.9)
    whole, parts = (checkpoint.read(tmp_path / name) for name in ("whole", "parts"))
    before = build("tacotron2").config.decoder.reduction_factor
    for found in (whole, parts):
        assert found.config["model"]["decoder"]["reduction_factor"] == 2 * before
    for name, weight in whole.weights.items():
        assert torch.equal(weight, parts.weights[name]), name


def test_r_is_not_raised_without_end_nor_against_a_schedule():
    model = build("tacotron2")
    optimizer = torch.optim.Adam(model.parameters())
    found = [raise_reduction_factor(model, optimizer, None) for _ in range(9)]
    raised = [r for r in found if r is not None]
    assert raised == sorted(raised)
    assert max(raised) <= 10
    assert found[-1] is None
    assert model.config.decoder.reduction_factor == raised[-1]
    model.decoder.config = dataclasses.replace(
        model.config.decoder, reduction_factor=2, gradual=GradualReductionConfig(steps=((0, 2),))
    )
    model.config = dataclasses.replace(model.config, decoder=model.decoder.config)
    assert raise_reduction_factor(model, optimizer, None) is None
    assert raise_reduction_factor(nn.Linear(1, 1), optimizer, None) is None


@pytest.mark.parametrize("kind", TINY)
def test_a_restart_changes_the_attention_alone(kind):
    model = build(kind)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    ema = EMA(model, 0.9)
    TacotronLoss(TacotronLossConfig(linear=0.0))(model(tiny_batch()), tiny_batch()).total.backward()
    optimizer.step()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    assert restart_attention(model, optimizer, ema)
    for name, parameter in model.named_parameters():
        inside = name.startswith(ATTENTION)
        if not inside:
            assert torch.equal(parameter, before[name]), name
        else:
            assert torch.equal(ema.mean[name], parameter), name
            assert parameter not in optimizer.state, name
    assert model.encoder.embedding.weight in optimizer.state
    changed = [n for n, p in model.named_parameters() if not torch.equal(p, before[n])]
    assert changed
    assert all(name.startswith(ATTENTION) for name in changed)


def test_a_frozen_attention_and_another_model_are_left_alone():
    model = build()
    model.get_submodule(ATTENTION).requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    assert not restart_attention(model, optimizer, None)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert not restart_attention(nn.Linear(2, 2), optimizer, None)
