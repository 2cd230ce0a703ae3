"""The laws of training once more, with a whole Tacotron and batches that workers load ahead."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from lhotse import CutSet, MonoCut
from tiny_tacotron import MELS, SYMBOLS, TINY, tiny_batch

from speechseq import checkpoint
from speechseq.audio.mel import AudioConfig
from speechseq.batch import TTSBatch
from speechseq.corpus.sampling import Batches
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.models.tacotron import Tacotron, TacotronConfig
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.log import curves
from speechseq.training.saving import ModelDescription
from speechseq.training.trainer import Trainer
from speechseq.training.validation import held_out_loss

LENGTHS = [4, 5, 5, 6, 7, 7, 8, 9, 10, 11, 12]
LOSS = TacotronLossConfig(guide=1.0, guide_half_life=3.0)


class Collate:
    """Each cut's number is the seed of what is said in it."""

    def frames(self, cut: MonoCut) -> int:
        return int(cut.duration)

    def __call__(self, cuts: Sequence[MonoCut]) -> TTSBatch:
        return tiny_batch(
            tuple(2 + int(cut.id) % 3 for cut in cuts),
            tuple(self.frames(cut) for cut in cuts),
            seed=int(cuts[0].id),
        )


def batches(workers: int) -> Batches:
    cuts = CutSet.from_cuts(MonoCut(f"{i:03d}", 0, n, 0) for i, n in enumerate(LENGTHS))
    return Batches(cuts, Collate(), frames_per_batch=25, seed=5, workers=workers)


def build(config: TacotronConfig) -> Tacotron:
    return config.build(symbols=SYMBOLS, mels=MELS, bins=9)


def train(run: Path, config: TacotronConfig, *, updates: int, workers: int = 0) -> Trainer:
    settings = TrainerConfig(
        updates=updates,
        accumulate=2,
        ema_decay=0.9,
        log_every=1,
        checkpoint_every=4,
        weight_decay=0.0,
        tensorboard=False,
    )
    torch.manual_seed(1)
    loss = TacotronLoss(LOSS)
    trainer = Trainer(
        build(config),
        loss,
        batches(workers),
        settings,
        run=run,
        about=ModelDescription(
            model=config, audio=AudioConfig(), vocabulary=Vocabulary.characters("abcd")
        ),
        validate=held_out_loss(loss, batches(0).one_epoch),
    )
    trainer.run()
    return trainer


@pytest.mark.parametrize("kind", TINY)
def test_law_8_a_tacotron_resumed_with_0_or_2_workers_is_the_uninterrupted_one(
    tmp_path: Path, kind: str
) -> None:
    config = TINY[kind](reduction_factor=2)
    train(tmp_path / "whole", config, updates=7)
    expected = checkpoint.read(tmp_path / "whole").weights
    for updates, workers in ((2, 2), (5, 0), (7, 2)):
        train(tmp_path / "pieces", config, updates=updates, workers=workers)
    for name, tensor in checkpoint.read(tmp_path / "pieces").weights.items():
        assert torch.equal(tensor, expected[name]), name
    totals = [curves(tmp_path / run)["loss/total"] for run in ("whole", "pieces")]
    assert totals[0] == totals[1]
    assert len(totals[0]) == 7


@pytest.mark.parametrize("kind", TINY)
def test_a_checkpoint_alone_gives_the_model_back(tmp_path: Path, kind: str) -> None:
    config = TINY[kind]()
    trainer = train(tmp_path, config, updates=2)
    opened = checkpoint.load(tmp_path, TacotronConfig)
    assert opened.model == config
    restored = checkpoint.restore(opened, lambda: build(opened.model)).eval()
    batch = tiny_batch()
    trainer._model.eval()
    torch.manual_seed(0)
    with trainer._ema.applied(), torch.no_grad():  # type: ignore[union-attr]
        expected = trainer._model(batch)
    torch.manual_seed(0)
    with torch.no_grad():
        assert torch.equal(restored(batch).mel_after, expected.mel_after)
