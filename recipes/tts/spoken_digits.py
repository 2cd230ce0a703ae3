"""A first voice within minutes: a small Tacotron 2 learns to say digits from espeak.

    python recipes/tts/spoken_digits.py --run runs/demo

Makes its corpus, trains, speaks strings of digits that it never saw, has an independent recogniser
judge them beside espeak's own sound of the same strings, and writes RUN/report.html. Runs on two
CPU cores (it needs one) without a network. Needs the extra `demo`.
"""

import dataclasses
import sys
import time
from pathlib import Path

import torch
from lhotse import CutSet
from torch import nn

from speechseq.audio.mel import AudioConfig
from speechseq.cli import run_recipe
from speechseq.config import Config
from speechseq.corpus import features, spoken_digits
from speechseq.corpus.collate import TTSCollate
from speechseq.corpus.espeak import Rate
from speechseq.corpus.sampling import Batches
from speechseq.evaluation.judge import Judge
from speechseq.evaluation.report.page import Figure
from speechseq.evaluation.tts import evaluate_tts, write_report
from speechseq.extras import need
from speechseq.inference.synthesizer import Synthesizer
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.models.tacotron import TacotronConfig, tacotron2_small
from speechseq.ranges import Count, Seed, Threads
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.log import curves
from speechseq.training.resume import seed_everything
from speechseq.training.samples import Sample
from speechseq.training.saving import ModelDescription
from speechseq.training.schedule import ExponentialConfig
from speechseq.training.trainer import Trainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Config):
    """Numbers of the corpus, the model and its training."""

    utterances: Count = 400
    test_utterances: Count = 20
    voice: str = "en-us"
    words_per_minute: Rate = 150
    frames_per_batch: Count = 2500
    threads: Threads = 1  # steps this small gain little from two, and lose much on a busy machine
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


def make_corpus(settings: Settings, folder: Path) -> tuple[CutSet, CutSet]:
    """What is learned from, and what is held out: no string stands in both."""
    voice = {"voices": (settings.voice,), "rates": (settings.words_per_minute,)}
    test = spoken_digits.make(
        folder / "test", utterances=settings.test_utterances, seed=settings.seed + 1, **voice
    )
    train = spoken_digits.make(
        folder / "train",
        utterances=settings.utterances,
        seed=settings.seed,
        exclude=[cut.supervisions[0].text for cut in test],
        **voice,
    )
    return features.compute(train, settings.audio, folder / "mels"), test


def main(settings: Settings, run: Path) -> None:
    """Corpus, training, listening, report."""
    need("espeak", "judge")
    began = time.monotonic()
    torch.set_num_threads(settings.threads)
    audio = settings.audio
    train, test = make_corpus(settings, run / "corpus")
    texts = [cut.supervisions[0].text for cut in test]

    vocabulary = Vocabulary.characters(sorted(set(" ".join(spoken_digits.WORDS))))
    collate = TTSCollate(vocabulary, audio, frame_multiple=settings.model.decoder.reduction_factor)
    batches = Batches(
        train, collate, frames_per_batch=settings.frames_per_batch, seed=settings.seed
    )
    seed_everything(settings.seed)
    model = settings.model.build(symbols=len(vocabulary), mels=audio.mels)

    def show(model: nn.Module) -> list[Sample]:
        speech = Synthesizer(model, vocabulary, audio).synthesize(texts[:2], seed=0)
        return [Sample.of(f"test{i}", item) for i, item in enumerate(speech)]

    summary = Trainer(
        model,
        TacotronLoss(settings.loss),
        batches,
        settings.trainer,
        run=run,
        about=ModelDescription(model=settings.model, audio=audio, vocabulary=vocabulary),
        samples=show,
    ).run()

    minutes = sum(cut.duration for cut in train) / 60
    parameters = sum(parameter.numel() for parameter in model.parameters())
    synthesizer = Synthesizer.load(summary.checkpoint)
    recordings = [features.load_waveform(cut, audio) for cut in test]
    listening = evaluate_tts(synthesizer, texts, recordings, Judge.digits())
    seconds = time.monotonic() - began
    write_report(
        run / "report.html",
        listening,
        title="speechseq: a first voice",
        summary=f"A Tacotron 2 of {parameters / 1e6:.1f} M parameters learned to say digits from "
        f"{minutes:.1f} minutes of espeak's voice {settings.voice}. None of the strings below was "
        "among what it learned from.",
        figures=[
            Figure(label="time", value=f"{seconds / 60:.1f} min", note="corpus to judgement"),
            Figure(label="updates", value=str(summary.updates)),
        ],
        curves=curves(run),
        settings=settings.to_dict(),
    )
    print(f"{run / 'report.html'}: {seconds:.0f} s, {summary.updates} updates, {listening.line()}")


if __name__ == "__main__":
    sys.exit(run_recipe(main, Settings))
