"""Listen, Attend and Spell on LibriSpeech: LAS-6-1280 with SpecAugment, in word pieces.

    speechseq prepare librispeech data/raw --download --parts train-clean-100 dev-clean test-clean
    speechseq train recipes/asr/librispeech_las.py --root data/raw/LibriSpeech --run runs/ls

The paper's model and policy (Park 2019); a CTC loss helps the attention to align at first. Needs a
GPU; `--config recipes/overlays/las_cpu.yaml` makes it small.
"""

import dataclasses
import sys
from pathlib import Path

import torch

from speechseq.audio.augment import POLICIES
from speechseq.audio.mel import AudioConfig
from speechseq.cli import run_recipe
from speechseq.config import Config
from speechseq.corpus import features, librispeech
from speechseq.corpus.collate_speech import ASRCollate
from speechseq.corpus.sampling import Batches
from speechseq.evaluation.asr import evaluate_asr, items_of, report_asr
from speechseq.evaluation.samples import transcribed
from speechseq.evaluation.validation import error_rate
from speechseq.inference.search.beam import Beam
from speechseq.inference.search.limits import LimitConfig
from speechseq.inference.search.scoring import ScoreConfig
from speechseq.inference.transcriber import Transcriber
from speechseq.models.las import LASConfig, las_6_1280
from speechseq.models.las_loss import LASLoss, LASLossConfig
from speechseq.ranges import Count, CountOrNone, Seed, ThreadsOrNone, Width, Workers
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.resume import seed_everything
from speechseq.training.saving import ModelDescription
from speechseq.training.schedule import ExponentialConfig
from speechseq.training.trainer import Trainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Config):
    """Settings of corpus, model and training; `shown` utterances are drawn at every checkpoint."""

    root: str = "data/raw/LibriSpeech"
    cache: str = "data/cache"
    train: tuple[str, ...] = ("train-clean-100", "train-clean-360", "train-other-500")
    dev: tuple[str, ...] = ("dev-clean",)
    test: tuple[str, ...] = ("test-clean",)
    pieces: Width = 1000
    longest_frames: Count = 1700
    frames_per_batch: Count = 60_000
    short_first_epochs: CountOrNone = 1
    shown: CountOrNone = 2
    device: str = "cuda"
    workers: Workers = 4
    threads: ThreadsOrNone = 0  # 0 keeps torch's default
    seed: Seed = 0
    audio: AudioConfig = AudioConfig.preset("specaugment")
    model: LASConfig = dataclasses.replace(las_6_1280(), augment=POLICIES["LD"], ctc=True)
    loss: LASLossConfig = LASLossConfig(
        label_smoothing=0.1, ctc=0.3, ctc_last=0.0, ctc_from=10_000, ctc_to=20_000
    )
    search: Beam = Beam(
        score=ScoreConfig(coverage_weight=0.05, end_threshold=1.5),
        limit=LimitConfig(tokens_per_position=1.0),
    )
    trainer: TrainerConfig = TrainerConfig(
        updates=160_000,
        learning_rate=1e-3,
        schedule=ExponentialConfig.double(),
        weight_decay=0.0,
        amp="bf16",
        checkpoint_every=2000,
        best_by="wer",
    )


def main(settings: Settings, run: Path) -> None:
    """Read the corpus, train, evaluate, and write the report."""
    torch.set_num_threads(settings.threads or torch.get_num_threads())
    audio = settings.audio
    parts = (settings.train, settings.dev, settings.test)
    train, dev, test = (librispeech.read(settings.root, part) for part in parts)
    train, dev = (features.compute(cuts, audio, settings.cache) for cuts in (train, dev))
    vocabulary = Vocabulary.train_pieces((c.supervisions[0].text for c in train), settings.pieces)
    collate = ASRCollate(vocabulary, audio)
    collate.check(train + dev)
    plan = {"frames_per_batch": settings.frames_per_batch, "workers": settings.workers}
    plan |= {"seed": settings.seed, "short_first_epochs": settings.short_first_epochs}
    batches = Batches(train, collate, longest_frames=settings.longest_frames, **plan)
    held_out = Batches(dev, collate, **plan)
    seed_everything(settings.seed)
    summary = Trainer(
        settings.model.build(symbols=len(vocabulary), features=audio.features),
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
    title = "Listen, Attend and Spell on LibriSpeech"
    text = f"{', '.join(settings.test)} after {summary.updates} updates."
    found = evaluate_asr(transcriber, items_of(test, audio), strategy=settings.search)
    report_asr(run, found, settings, summary, title=title, text=text)


if __name__ == "__main__":
    sys.exit(run_recipe(main, Settings))
