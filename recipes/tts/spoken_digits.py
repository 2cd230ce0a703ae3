"""A first synthesiser within minutes: a small Tacotron 2 learns to speak digits like espeak.

    python recipes/tts/spoken_digits.py --run runs/demo

The recipe makes its corpus, trains, and speaks unseen strings of digits. An independent recogniser
transcribes them and espeak's speech of the same strings; RUN/report.html has the word errors. It
uses two CPU cores (one is enough) and no network. Needs the extra `demo`.
"""

import dataclasses
import sys
import time
from pathlib import Path

import torch

from speechseq.audio.mel import AudioConfig
from speechseq.cli import run_recipe
from speechseq.corpus import features, spoken_digits
from speechseq.corpus.collate import TTSCollate
from speechseq.corpus.sampling import Batches
from speechseq.evaluation.judge import Judge
from speechseq.evaluation.samples import spoken
from speechseq.evaluation.tts import evaluate_tts, report_tts
from speechseq.extras import need
from speechseq.inference.synthesizer import Synthesizer
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.models.tacotron import TacotronConfig, tacotron2_small
from speechseq.ranges import Count, Seed, Threads
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.doctor_validation import doctor_validation
from speechseq.training.resume import seed_everything
from speechseq.training.saving import ModelDescription
from speechseq.training.schedule import ExponentialConfig
from speechseq.training.trainer import Trainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(spoken_digits.OneVoiceConfig):
    """Settings of the corpus, the model and its training."""

    frames_per_batch: Count = 2500
    threads: Threads = 1  # small steps gain little from two, and lose much on a busy machine
    seed: Seed = 0
    audio: AudioConfig = AudioConfig.preset("nvidia")
    model: TacotronConfig = tacotron2_small(reduction_factor=4)
    loss: TacotronLossConfig = TacotronLossConfig(
        mse=1.0, l1=1.0, stop_positive_weight=5.0, guide=5.0, guide_sigma=0.3
    )
    trainer: TrainerConfig = TrainerConfig(
        updates=900,
        learning_rate=2e-3,
        schedule=ExponentialConfig(warmup=50, start=250, end=900, floor=0.05),
        weight_decay=0.0,
        ema_decay=0.99,
        log_every=25,
        checkpoint_every=300,
        keep=1,
    )


def main(settings: Settings, run: Path) -> None:
    """Make the corpus, train, evaluate, and write the report."""
    need("espeak", "judge")
    began = time.monotonic()
    torch.set_num_threads(settings.threads)
    audio, seed = settings.audio, settings.seed
    train, test = spoken_digits.make_one_voice(settings, run / "corpus", seed=seed)
    train = features.compute(train, audio, run / "corpus" / "mels")
    texts = [cut.supervisions[0].text for cut in test]

    vocabulary = Vocabulary.characters(sorted(set(" ".join(spoken_digits.WORDS))))
    collate = TTSCollate(vocabulary, audio, frame_multiple=settings.model.decoder.frame_multiple)
    batches = Batches(train, collate, frames_per_batch=settings.frames_per_batch, seed=seed)
    held_out = Batches(test, collate, frames_per_batch=settings.frames_per_batch, seed=seed)
    seed_everything(seed)
    loss = TacotronLoss(settings.loss)
    model = settings.model.build(symbols=len(vocabulary), mels=audio.mels)
    summary = Trainer(
        model,
        loss,
        batches,
        settings.trainer,
        run=run,
        about=ModelDescription(model=settings.model, audio=audio, vocabulary=vocabulary),
        validate=doctor_validation(loss, held_out.one_epoch, audio),
        samples=spoken(vocabulary, audio, texts[:2], name="test"),
    ).run()

    minutes = sum(cut.duration for cut in train) / 60
    parameters = sum(parameter.numel() for parameter in model.parameters())
    recordings = [features.load_waveform(cut, audio) for cut in test]
    synthesizer = Synthesizer.load(summary.checkpoint)
    report_tts(
        run,
        evaluate_tts(synthesizer, texts, recordings, Judge.digits()),
        settings,
        summary,
        title="speechseq: a first voice",
        text=f"A Tacotron 2 of {parameters / 1e6:.1f} M parameters learned to say digits from "
        f"{minutes:.1f} minutes of espeak's voice {settings.voice}. None of the strings below was "
        "among what it learned from.",
        seconds=time.monotonic() - began,
    )


if __name__ == "__main__":
    sys.exit(run_recipe(main, Settings))
