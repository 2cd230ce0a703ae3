"""--freeze: parts whose weights and running statistics stay as they are."""

from pathlib import Path

import pytest
import torch
from test_training_tacotron import batches
from tiny_tacotron import MELS, SYMBOLS, TINY
from toy_run import toy_trainer

from speechseq import checkpoint
from speechseq.audio.mel import AudioConfig
from speechseq.errors import ConfigError
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.saving import ModelDescription
from speechseq.training.trainer import Trainer


def train(run: Path, name: str, freeze: tuple[str, ...], updates: int) -> Trainer:
    torch.manual_seed(1)
    config = TINY[name]()
    model = config.build(symbols=SYMBOLS, mels=MELS, bins=9)
    settings = TrainerConfig(
        updates=updates, freeze=freeze, checkpoint_every=2, keep=9, tensorboard=False
    )
    about = ModelDescription(
        model=config, audio=AudioConfig(mels=MELS), vocabulary=Vocabulary.characters("abcd")
    )
    loss = TacotronLoss(TacotronLossConfig())
    return Trainer(model, loss, batches(0), settings, run=run, about=about)


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("part", ["encoder", "decoder.core.attention", "postnet"])
def test_a_frozen_part_stays_and_all_else_learns(name: str, part: str, tmp_path: Path) -> None:
    trainer = train(tmp_path, name, (part,), updates=2)
    before = {key: x.clone() for key, x in trainer._model.state_dict().items()}
    trainer.run()
    for key, value in checkpoint.read(tmp_path).weights.items():
        same = torch.equal(value, before[key])
        assert same == key.startswith(f"{part}."), key


def test_freezing_ends_when_the_run_goes_on_without_it(tmp_path: Path) -> None:
    train(tmp_path, "tacotron2", ("encoder",), updates=2).run()
    begun = checkpoint.read(tmp_path).weights
    train(tmp_path, "tacotron2", (), updates=4).run()
    train(tmp_path, "tacotron2", (), updates=5).run()  # moments of different ages are resumed
    name = "encoder.embedding.weight"
    assert not torch.equal(checkpoint.read(tmp_path).weights[name], begun[name])


def test_the_run_says_what_is_frozen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy_trainer(tmp_path, updates=1, freeze=("layers.0",)).run()
    assert "frozen: layers.0, 40 of 65 parameters" in capsys.readouterr().out


def test_an_unknown_part_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no part 'encodr'") as refused:
        train(tmp_path, "tacotron2", ("encodr",), updates=1)
    assert "did you mean 'encoder'" in refused.value.cure
    with pytest.raises(ConfigError, match="nothing is left to train"):
        toy_trainer(tmp_path, updates=1, freeze=("layers",))
