"""Listen, Attend and Spell on AN4: names, numbers and addresses spelled by 74 speakers, 50 minutes.

    speechseq train recipes/asr/an4_las.py --root data/raw/an4 --run runs/an4

The model writes characters, with a CTC loss that helps the attention to align, and SpecAugment.
Each utterance is used at three speeds: slower, original and faster. A CPU suffices; a GPU is
faster.
"""

import dataclasses
import string
import sys
from pathlib import Path

import torch
from lhotse import CutSet

from speechseq.audio.augment import SpecAugmentPolicy
from speechseq.audio.mel import AudioConfig
from speechseq.cli import run_recipe
from speechseq.config import Config
from speechseq.corpus import an4, features
from speechseq.corpus.collate_speech import ASRCollate
from speechseq.corpus.cut_audio import Speeds
from speechseq.corpus.sampling import Batches
from speechseq.evaluation.asr import evaluate_asr, items_of, report_asr
from speechseq.evaluation.samples import transcribed
from speechseq.evaluation.validation import error_rate
from speechseq.inference.search.beam import Beam, usual_beam
from speechseq.inference.search.limits import LimitConfig
from speechseq.inference.transcriber import Transcriber
from speechseq.models.las import LASConfig, las_characters
from speechseq.models.las_loss import LASLoss, LASLossConfig
from speechseq.ranges import Count, CountOrNone, Seed, ThreadsOrNone, Workers
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.resume import seed_everything
from speechseq.training.saving import ModelDescription
from speechseq.training.schedule import ExponentialConfig
from speechseq.training.trainer import Trainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Config):
    """Settings of corpus, model and training; `shown` utterances are drawn at every checkpoint."""

    root: str = "data/raw/an4"
    cache: str = "data/cache"
    dev: Count = 100
    speeds: Speeds = (0.9, 1.0, 1.1)
    frames_per_batch: Count = 16_000
    short_first_epochs: CountOrNone = 1
    shown: CountOrNone = 2
    device: str = "cpu"
    workers: Workers = 0
    threads: ThreadsOrNone = 0  # 0 keeps torch's default
    seed: Seed = 0
    audio: AudioConfig = dataclasses.replace(AudioConfig.preset("las"), mels=80)
    model: LASConfig = las_characters(
        augment=SpecAugmentPolicy(warp=0, band_width=15, frame_width=40, frame_share=0.1)
    )
    loss: LASLossConfig = LASLossConfig(label_smoothing=0.1, ctc=0.3)
    search: Beam = dataclasses.replace(usual_beam(8), limit=LimitConfig(tokens_per_position=1.0))
    trainer: TrainerConfig = TrainerConfig(
        updates=6000,
        learning_rate=2e-3,
        schedule=ExponentialConfig(warmup=200, start=3000, end=6000, floor=0.03),
        weight_decay=0.0,
        ema_decay=0.99,
        checkpoint_every=500,
        best_by="wer",
    )


def main(settings: Settings, run: Path) -> None:
    """Read the corpus, train, evaluate, and write the report."""
    torch.set_num_threads(settings.threads or torch.get_num_threads())
    audio = settings.audio
    train, test = an4.read(settings.root)
    train, dev = an4.hold_out(train, settings.dev, settings.seed)
    train = CutSet.from_cuts(cut.perturb_speed(s) for s in settings.speeds for cut in train)
    train, dev = (features.compute(cuts, audio, settings.cache) for cuts in (train, dev))
    vocabulary = Vocabulary.transcripts(string.ascii_lowercase + string.digits + " '")
    collate = ASRCollate(vocabulary, audio)
    collate.check(train + dev)
    plan = {"frames_per_batch": settings.frames_per_batch, "workers": settings.workers}
    plan |= {"seed": settings.seed, "short_first_epochs": settings.short_first_epochs}
    batches, held_out = (Batches(cuts, collate, **plan) for cuts in (train, dev))
    seed_everything(settings.seed)
    model = settings.model.build(symbols=len(vocabulary), features=audio.features)
    summary = Trainer(
        model,
        LASLoss(settings.loss),
        batches,
        settings.trainer,
        run=run,
        about=ModelDescription(model=settings.model, audio=audio, vocabulary=vocabulary),
        validate=error_rate(held_out.one_epoch, vocabulary, limit=settings.search.limit),
        samples=transcribed(vocabulary, audio, items_of(dev.subset(first=settings.shown), audio)),
        device=settings.device,
    ).run()

    transcriber = Transcriber.load(summary.checkpoint, settings.device)
    found = evaluate_asr(transcriber, items_of(test, audio), strategy=settings.search)
    text = f"The test set after {summary.updates} updates."
    report_asr(run, found, settings, summary, title="Listen, Attend and Spell on AN4", text=text)


if __name__ == "__main__":
    sys.exit(run_recipe(main, Settings))
