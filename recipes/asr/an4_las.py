"""Listen, Attend and Spell on AN4: names, numbers and addresses spelled by 74 speakers, 50 minutes.

    speechseq train recipes/asr/an4_las.py --root data/raw/an4 --run runs/an4

Characters, a CTC head that shows the attention the way, SpecAugment; three versions of each
utterance, slower, as it is, and faster. A GPU makes it quick, a CPU will do.
"""

import dataclasses
import random
import string
import sys
from pathlib import Path
from typing import Annotated

import torch
from lhotse import CutSet, MonoCut
from torch import nn

from speechseq.audio.augment import SpecAugmentPolicy
from speechseq.audio.mel import AudioConfig
from speechseq.cli import run_recipe
from speechseq.config import Config
from speechseq.corpus import an4, features
from speechseq.corpus.collate_speech import ASRCollate
from speechseq.corpus.sampling import Batches
from speechseq.evaluation.asr import evaluate_asr, items_of, write_report
from speechseq.evaluation.validation import error_rate
from speechseq.inference.search.beam import Beam
from speechseq.inference.search.greedy import Greedy
from speechseq.inference.search.limits import LimitConfig
from speechseq.inference.search.scoring import ScoreConfig
from speechseq.inference.transcriber import Transcriber
from speechseq.models.las import LASConfig
from speechseq.models.las_loss import LASLoss, LASLossConfig
from speechseq.models.listener import ListenerConfig
from speechseq.models.speller import SpellerConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.ranges import Count, CountOrNone, Items, Range, Seed, ThreadsOrNone, Workers
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.log import curves
from speechseq.training.resume import seed_everything
from speechseq.training.samples import Sample
from speechseq.training.saving import ModelDescription
from speechseq.training.schedule import ExponentialConfig
from speechseq.training.trainer import Trainer

Speed = Annotated[float, Range(0.1, 10)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Config):
    """Numbers of corpus, model and training; `shown` utterances are drawn at every checkpoint."""

    root: str = "data/raw/an4"
    cache: str = "data/cache"
    dev: Count = 100
    speeds: Annotated[tuple[Speed, ...], Items(1, 100)] = (0.9, 1.0, 1.1)
    frames_per_batch: Count = 16_000
    short_first_epochs: CountOrNone = 1
    shown: CountOrNone = 2
    device: str = "cpu"
    workers: Workers = 0
    threads: ThreadsOrNone = 0  # 0 leaves torch its own number
    seed: Seed = 0
    audio: AudioConfig = dataclasses.replace(AudioConfig.preset("las"), mels=80)
    model: LASConfig = LASConfig(
        augment=SpecAugmentPolicy(warp=0, band_width=15, frame_width=40, frame_share=0.1),
        listener=ListenerConfig(
            convolutions=(16,), hidden=192, base_layers=1, pyramid_layers=1, dropout=0.2
        ),
        speller=SpellerConfig(
            embedding=64,
            layers=1,
            hidden=256,
            attention=LocationSensitiveConfig(dim=128, filters=10, kernel=101),
            dropout=0.2,
        ),
        ctc=True,
    )
    loss: LASLossConfig = LASLossConfig(label_smoothing=0.1, ctc=0.3)
    search: Beam = Beam(
        score=ScoreConfig(end_threshold=1.5),
        limit=LimitConfig(tokens_per_position=1.0),
    )
    trainer: TrainerConfig = TrainerConfig(
        updates=6000,
        learning_rate=2e-3,
        schedule=ExponentialConfig(warmup=200, start=3000, end=6000, floor=0.03),
        weight_decay=0.0,
        ema_decay=0.99,
        checkpoint_every=500,
        best_by="wer",
    )


def hold_out(cuts: CutSet, count: int, seed: int) -> tuple[list[MonoCut], list[MonoCut]]:
    """The rest, and so many drawn by the seed, but never more than a quarter."""
    drawn = sorted(cuts, key=lambda cut: cut.id)
    random.Random(seed).shuffle(drawn)
    count = min(count, max(1, len(drawn) // 4))
    return drawn[count:], drawn[:count]


def main(settings: Settings, run: Path) -> None:
    """Corpus, training, dictation, report."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    audio = settings.audio
    learned, test = an4.read(settings.root)
    learned, dev = hold_out(learned, settings.dev, settings.seed)
    faster = [cut.perturb_speed(speed) for speed in settings.speeds for cut in learned]
    train, dev = (
        features.compute(CutSet.from_cuts(cuts), audio, settings.cache) for cuts in (faster, dev)
    )
    vocabulary = Vocabulary.transcripts(string.ascii_lowercase + string.digits + " '")
    collate = ASRCollate(vocabulary, audio)
    collate.check(train + dev)
    batches, held_out = (
        Batches(
            cuts,
            collate,
            frames_per_batch=settings.frames_per_batch,
            seed=settings.seed,
            workers=settings.workers,
            short_first_epochs=settings.short_first_epochs,
        )
        for cuts in (train, dev)
    )
    seed_everything(settings.seed)
    shown = items_of(dev.subset(first=settings.shown), audio)

    def show(model: nn.Module) -> list[Sample]:
        found = evaluate_asr(Transcriber(model, vocabulary, audio), shown, strategy=Greedy())
        return [Sample.of_transcript(f"dev{i}", t) for i, t in enumerate(found.transcripts)]

    summary = Trainer(
        settings.model.build(symbols=len(vocabulary), features=audio.features),
        LASLoss(settings.loss),
        batches,
        settings.trainer,
        run=run,
        about=ModelDescription(model=settings.model, audio=audio, vocabulary=vocabulary),
        validate=error_rate(held_out.one_epoch, vocabulary, Greedy(limit=settings.search.limit)),
        samples=show,
        device=settings.device,
    ).run()

    transcriber = Transcriber.load(summary.checkpoint, settings.device)
    found = evaluate_asr(transcriber, items_of(test, audio), strategy=settings.search)
    write_report(
        run / "report.html",
        found,
        title="Listen, Attend and Spell on AN4",
        summary=f"The test set after {summary.updates} updates.",
        curves=curves(run),
        settings=settings.to_dict(),
    )
    print(f"{run / 'report.html'}: {summary.updates} updates, {found.line()}")


if __name__ == "__main__":
    sys.exit(run_recipe(main, Settings))
