"""Tacotron 2 on LJSpeech: one voice, 24 hours of it, one GPU.

    speechseq prepare ljspeech data/raw --download
    speechseq train recipes/tts/ljspeech_tacotron2.py --run runs/ljspeech_tacotron2

Reads a standard LJSpeech-1.1 folder (--root), trains, speaks the held-out sentences, and writes
RUN/report.html in which a recogniser judges them beside the recordings. Two frames a step by
default: alignment comes sooner than with the paper's one (--model.decoder.reduction_factor 1).
On a CPU: --config recipes/overlays/tacotron2_cpu.yaml
"""

import dataclasses
import sys
from pathlib import Path

from torch import nn

from speechseq.audio.mel import AudioConfig
from speechseq.cli import run_recipe
from speechseq.config import Config
from speechseq.corpus import features, ljspeech
from speechseq.corpus.collate import TTSCollate
from speechseq.corpus.sampling import Batches
from speechseq.evaluation.judge import Judge
from speechseq.evaluation.tts import evaluate_tts, write_report
from speechseq.extras import need
from speechseq.inference.synthesizer import Synthesizer
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.models.tacotron import TacotronConfig, tacotron2
from speechseq.ranges import Count, Seed, Workers
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.log import curves
from speechseq.training.resume import seed_everything
from speechseq.training.samples import Sample
from speechseq.training.saving import ModelDescription
from speechseq.training.schedule import ExponentialConfig
from speechseq.training.trainer import Trainer
from speechseq.training.validation import held_out_loss


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Config):
    """Numbers of corpus, model and training; `judged` sentences are in the listening test."""

    root: str = "data/raw/LJSpeech-1.1"
    cache: str = "data/cache"
    skip_bad: bool = False
    columns: str = ""
    dev: Count = 100
    test: Count = 500
    judged: Count = 20
    device: str = "cuda"
    workers: Workers = 4
    frames_per_batch: Count = 40_000
    seed: Seed = 0
    audio: AudioConfig = AudioConfig.preset("nvidia")
    model: TacotronConfig = tacotron2(reduction_factor=2)
    loss: TacotronLossConfig = TacotronLossConfig(
        mse=1.0, stop_positive_weight=5.0, guide=50.0, guide_sigma=0.3, guide_half_life=5000.0
    )
    trainer: TrainerConfig = TrainerConfig(
        updates=100_000,
        learning_rate=1e-3,
        schedule=ExponentialConfig(warmup=500, start=30_000, end=100_000, floor=0.01),
        amp="bf16",
        checkpoint_every=2000,
    )


def main(settings: Settings, run: Path) -> None:
    """Corpus, training, listening, report."""
    need("judge")
    audio = settings.audio
    splits = ljspeech.read_split(
        settings.root,
        dev=settings.dev,
        test=settings.test,
        skip_bad=settings.skip_bad,
        columns=settings.columns,
    )
    train, dev = (features.compute(c, audio, settings.cache) for c in (splits.train, splits.dev))
    texts = [cut.supervisions[0].text for cut in dev][: settings.judged]

    vocabulary = Vocabulary.characters()
    collate = TTSCollate(vocabulary, audio, frame_multiple=settings.model.decoder.reduction_factor)
    collate.check(splits.train + splits.dev)
    batches, held_out = (
        Batches(
            cuts,
            collate,
            frames_per_batch=settings.frames_per_batch,
            seed=settings.seed,
            workers=settings.workers,
        )
        for cuts in (train, dev)
    )
    seed_everything(settings.seed)
    model = settings.model.build(symbols=len(vocabulary), mels=audio.mels)
    loss = TacotronLoss(settings.loss)

    def show(model: nn.Module) -> list[Sample]:
        speech = Synthesizer(model, vocabulary, audio).synthesize(texts[:2], seed=0)
        return [Sample.of(f"dev{i}", item) for i, item in enumerate(speech)]

    summary = Trainer(
        model,
        loss,
        batches,
        settings.trainer,
        run=run,
        about=ModelDescription(model=settings.model, audio=audio, vocabulary=vocabulary),
        validate=held_out_loss(loss, held_out.one_epoch),
        samples=show,
        device=settings.device,
    ).run()

    recordings = [features.load_waveform(cut, audio) for cut in dev][: settings.judged]
    synthesizer = Synthesizer.load(summary.checkpoint, settings.device)
    listening = evaluate_tts(synthesizer, texts, recordings, Judge.sentences())
    write_report(
        run / "report.html",
        listening,
        title="Tacotron 2 on LJSpeech",
        summary=f"Held-out sentences after {summary.updates} updates.",
        curves=curves(run),
        settings=settings.to_dict(),
    )
    print(f"{run / 'report.html'}: {summary.updates} updates, {listening.line()}")


if __name__ == "__main__":
    sys.exit(run_recipe(main, Settings))
