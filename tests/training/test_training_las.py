"""Law 8 with a whole recogniser: augmentation, sampling and growth go on where they were."""

import dataclasses
import random
from pathlib import Path
from typing import Any

import torch
from tiny_las import FEATURES, SYMBOLS, row_of, tiny_batch, tiny_config

from speechseq import checkpoint
from speechseq.audio.augment import SpecAugmentPolicy
from speechseq.audio.mel import AudioConfig
from speechseq.batch import ASRBatch
from speechseq.models.las_loss import LASLoss, LASLossConfig
from speechseq.models.listener import GrowthConfig, ListenerConfig
from speechseq.models.speller import SamplingConfig
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.log import curves
from speechseq.training.saving import ModelDescription
from speechseq.training.trainer import Trainer

CONFIG = tiny_config(
    augment=SpecAugmentPolicy(warp=0, band_width=2, frame_width=3),
    vocal_tract=0.1,
    listener=ListenerConfig(
        hidden=5,
        pyramid_layers=2,
        dropout=0.2,
        growth=GrowthConfig(first_layers=1, layer_every=3, pool_until=4),
    ),
    speller=dataclasses.replace(
        tiny_config().speller, dropout=0.1, sampling=SamplingConfig(rate=0.5, end=6)
    ),
)
LOSS = LASLossConfig(label_smoothing=0.1, ctc=0.4, ctc_last=0.0, ctc_from=2, ctc_to=6)


class Rows:
    """Endless batches: one of four utterances, then the first two alone, in an order of its own."""

    def __init__(self) -> None:
        whole = _single(tiny_batch())
        self.items = [whole, _single(row_of(tiny_batch(), 0)), _single(row_of(tiny_batch(), 2))]
        self.position = 0

    def __next__(self) -> ASRBatch:
        self.position += 1
        return random.Random(self.position).choice(self.items)

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position = state["position"]


def _single(batch: ASRBatch) -> ASRBatch:
    return dataclasses.replace(batch, features=batch.features.float())


def train(run: Path, updates: int) -> None:
    torch.manual_seed(1)
    Trainer(
        CONFIG.build(symbols=SYMBOLS, features=FEATURES),
        LASLoss(LOSS),
        Rows(),
        TrainerConfig(
            updates=updates, log_every=1, checkpoint_every=4, ema_decay=0.9, tensorboard=False
        ),
        run=run,
        about=ModelDescription(
            model=CONFIG, audio=AudioConfig(), vocabulary=Vocabulary.transcripts("abcde")
        ),
    ).run()


def test_law_8_a_recogniser_resumed_is_the_uninterrupted_one(tmp_path: Path) -> None:
    train(tmp_path / "whole", 9)
    for updates in (2, 5, 6, 9):
        train(tmp_path / "pieces", updates)
    expected = checkpoint.read(tmp_path / "whole").weights
    found = checkpoint.read(tmp_path / "pieces").weights
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    totals = [curves(tmp_path / run)["loss/total"] for run in ("whole", "pieces")]
    assert totals[0] == totals[1]
    assert found["listener.grown"].tolist() == [3, 1]
