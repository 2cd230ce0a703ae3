"""Open vocabulary without downloads: a LAS learns to spell sentences spoken by espeak.

    speechseq train recipes/asr/espeak_sentences.py --run runs/sentences
    speechseq train recipes/lm/sentences.py --run runs/lm --recogniser runs/sentences \\
        --exclude runs/sentences/corpus/test.txt
    speechseq train recipes/asr/espeak_sentences.py --run runs/sentences --lm runs/lm

The model writes characters; a CTC loss helps the attention to align. At the end it transcribes new
sentences by seen and unseen voices, with `--lm` without training. Needs the extra `demo`.
"""

import dataclasses
import sys
from pathlib import Path

import torch

from speechseq.audio.augment import SpecAugmentPolicy
from speechseq.audio.mel import AudioConfig
from speechseq.cli import run_recipe
from speechseq.corpus import espeak_sentences, features
from speechseq.corpus.collate_speech import ASRCollate
from speechseq.corpus.sampling import Batches
from speechseq.evaluation.asr_tests import evaluate_tests, report_tests
from speechseq.evaluation.validation import error_rate
from speechseq.extras import need
from speechseq.inference.lm import scorer as lm_scorer
from speechseq.inference.search.beam import Beam, usual_beam
from speechseq.inference.search.limits import LimitConfig
from speechseq.inference.transcriber import Transcriber
from speechseq.models.las import LASConfig, las_characters
from speechseq.models.las_loss import LASLoss, LASLossConfig
from speechseq.ranges import Count, Seed, Threads, Weight
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.resume import seed_everything
from speechseq.training.saving import ModelDescription
from speechseq.training.schedule import ExponentialConfig
from speechseq.training.trainer import Trainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(espeak_sentences.EspeakSentencesConfig):
    """Settings of the corpus, the model and its training."""

    frames_per_batch: Count = 10_000
    threads: Threads = 1
    lm: str = ""
    lm_weight: Weight = 0.3
    seed: Seed = 0
    spec_augment: bool = True
    audio: AudioConfig = AudioConfig.preset("las")
    augment: SpecAugmentPolicy = SpecAugmentPolicy(
        warp=0, band_width=8, frame_width=20, frame_share=0.1
    )
    model: LASConfig = las_characters(
        convolutions=(16, 16), base_layers=2, pyramid_layers=0, kernel=51, dropout=0.1
    )
    loss: LASLossConfig = LASLossConfig(label_smoothing=0.1, ctc=0.3)
    search: Beam = dataclasses.replace(usual_beam(8), limit=LimitConfig(tokens_per_position=1.0))
    trainer: TrainerConfig = TrainerConfig(
        updates=900,
        learning_rate=2e-3,
        schedule=ExponentialConfig(warmup=100, start=450, end=900, floor=0.03),
        weight_decay=0.0,
        ema_decay=0.98,
        log_every=25,
        checkpoint_every=300,
        keep=1,
    )


def main(settings: Settings, run: Path) -> None:
    """Make the corpus, train, evaluate, and write the report."""
    need("espeak")
    torch.set_num_threads(settings.threads)
    audio = settings.audio
    cuts = espeak_sentences.make_splits(settings, run / "corpus", settings.seed)
    tests = {name: features.compute(cuts[name], audio, run / "corpus/features") for name in cuts}
    train = tests.pop("train")
    vocabulary = Vocabulary.transcripts("abcdefghijklmnopqrstuvwxyz '")
    collate = ASRCollate(vocabulary, audio)
    collate.check(train)
    plan = {"frames_per_batch": settings.frames_per_batch, "seed": settings.seed}
    batches, held_out = (Batches(c, collate, **plan) for c in (train, tests["seen voices"]))
    seed_everything(settings.seed)
    augment = settings.augment if settings.spec_augment else None
    config = dataclasses.replace(settings.model, augment=augment)
    summary = Trainer(
        config.build(symbols=len(vocabulary), features=audio.features),
        LASLoss(settings.loss),
        batches,
        settings.trainer,
        run=run,
        about=ModelDescription(model=config, audio=audio, vocabulary=vocabulary),
        validate=error_rate(held_out.one_epoch, vocabulary, limit=settings.search.limit),
    ).run()

    transcriber = Transcriber.load(summary.checkpoint)
    scorers = lm_scorer.weighted(settings.lm, vocabulary, settings.lm_weight)
    report_tests(
        run,
        evaluate_tests(transcriber, tests, strategy=settings.search, scorers=scorers),
        settings,
        summary,
        title="speechseq: spelled sentences",
        text=f"A LAS learned to spell from {settings.utterances} sentences of espeak's voices; "
        "it never heard the sentences below.",
        sections={"unseen voices": "Voices that it never heard"},
        result="result_lm.json" if settings.lm else "result.json",
    )


if __name__ == "__main__":
    sys.exit(run_recipe(main, Settings))
