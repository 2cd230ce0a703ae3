"""Connected digits from real recordings: a small LAS learns strings joined from the FSDD.

    speechseq train recipes/asr/spoken_digits.py --run runs/digits

The recipe joins recordings of single digits (8 kHz, six speakers) to strings of 1 to 7 in several
ways, adds sounds without speech, and trains without a CTC loss. Then it transcribes strings of
held-out recordings, joined in each way, and strings ten times as long, and scores word times.
`--held_out theo` uses one speaker for the test only; `--content true` uses content-based attention
instead of location-sensitive attention.
"""

import dataclasses
import sys
from pathlib import Path

import torch

from speechseq.audio.mel import AudioConfig
from speechseq.cli import run_recipe
from speechseq.corpus import connected_digits, features
from speechseq.corpus.collate_speech import ASRCollate
from speechseq.corpus.sampling import Batches
from speechseq.corpus.spoken_digits import WORDS
from speechseq.evaluation.digit_strings import evaluate_digit_strings, report_digit_strings
from speechseq.evaluation.validation import error_rate
from speechseq.extras import need
from speechseq.inference.search.beam import Beam, usual_beam
from speechseq.inference.search.limits import LimitConfig
from speechseq.inference.transcriber import Transcriber
from speechseq.models.las import LASConfig, by_content, las_small
from speechseq.models.las_loss import LASLoss, LASLossConfig
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.nn.normalization import UtteranceNormConfig
from speechseq.ranges import Count, Seed, Threads
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.resume import seed_everything
from speechseq.training.saving import ModelDescription
from speechseq.training.schedule import ExponentialConfig
from speechseq.training.trainer import Trainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(connected_digits.ConnectedDigitsConfig):
    """Settings of corpus, model and training; `content` chooses content-based attention."""

    content: bool = False
    frames_per_batch: Count = 8000
    threads: Threads = 1
    seed: Seed = 0
    audio: AudioConfig = dataclasses.replace(
        AudioConfig.preset("las"), sample_rate=8000, n_fft=256, window=200, hop=80, fmax=4000.0
    )
    model: LASConfig = dataclasses.replace(
        las_small(),
        reading=ReadingConfig(window=40, sharpening=2.0),
        normalization=UtteranceNormConfig(depth=11.0),
    )
    loss: LASLossConfig = LASLossConfig(label_smoothing=0.1)
    search: Beam = dataclasses.replace(usual_beam(8), limit=LimitConfig(tokens_per_position=0.3))
    trainer: TrainerConfig = TrainerConfig(
        updates=1000,
        learning_rate=2e-3,
        schedule=ExponentialConfig(warmup=50, start=500, end=1000, floor=0.03),
        weight_decay=0.0,
        ema_decay=0.98,
        log_every=25,
        checkpoint_every=200,
        keep=1,
    )

    def trained_model(self) -> LASConfig:
        """Return the settings of the model that is trained, which --init compares."""
        return by_content(self.model) if self.content else self.model


def main(settings: Settings, run: Path) -> None:
    """Make the corpus, train, evaluate, and write the report."""
    need(*["espeak"] if settings.synthetic else [])
    torch.set_num_threads(settings.threads)
    audio, folder, seed = settings.audio, run / "corpus", settings.seed
    train, tests = connected_digits.make(settings, folder, sample_rate=audio.sample_rate, seed=seed)
    vocabulary = Vocabulary.words(WORDS)
    collate = ASRCollate(vocabulary, audio)
    mels = features.compute(train, audio, folder / "mels")
    batches, held_out = (
        Batches(cuts, collate, frames_per_batch=settings.frames_per_batch, seed=seed)
        for cuts in (mels, tests["short"])
    )
    seed_everything(seed)
    config = settings.trained_model()
    model = config.build(symbols=len(vocabulary), features=audio.features)
    summary = Trainer(
        model,
        LASLoss(settings.loss),
        batches,
        settings.trainer,
        run=run,
        about=ModelDescription(model=config, audio=audio, vocabulary=vocabulary),
        validate=error_rate(held_out.one_epoch, vocabulary, limit=settings.search.limit),
    ).run()

    transcriber = Transcriber.load(summary.checkpoint)
    transcriber.longest_seconds = 120.0
    evaluation = evaluate_digit_strings(
        transcriber, tests, settings, folder / "joined", seed=seed + 1, strategy=settings.search
    )
    size = sum(parameter.numel() for parameter in model.parameters())
    report_digit_strings(run, evaluation, training=summary, parameters=size, settings=settings)


if __name__ == "__main__":
    sys.exit(run_recipe(main, Settings))
