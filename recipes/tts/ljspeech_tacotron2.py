"""Tacotron 2 on LJSpeech: one speaker, 24 hours of speech, one GPU.

    speechseq prepare ljspeech data/raw --download
    speechseq train recipes/tts/ljspeech_tacotron2.py --run runs/ljspeech_tacotron2

The recipe reads an LJSpeech-1.1 folder (--root), trains, speaks the held-out sentences, and writes
RUN/report.html with a recogniser's word errors for them and for the recordings. A step makes two
frames, with which the model aligns sooner than with the paper's one
(--model.decoder.reduction_factor 1). On a CPU: --config recipes/overlays/tacotron2_cpu.yaml, or
from the weights of a voice that recipes/tts/any_sentence.py trained with free speech:

    --config recipes/overlays/tacotron2_warm.yaml --init runs/demo/voice
"""

import dataclasses
import sys
from pathlib import Path

from speechseq.audio.mel import AudioConfig
from speechseq.cli import run_recipe
from speechseq.corpus import features
from speechseq.corpus.collate import TTSCollate
from speechseq.corpus.ljspeech import LJSpeechConfig
from speechseq.corpus.sampling import Batches
from speechseq.evaluation.judge import Judge
from speechseq.evaluation.samples import spoken
from speechseq.evaluation.tts import evaluate_tts, report_tts
from speechseq.extras import need
from speechseq.inference.synthesizer import Synthesizer
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.models.tacotron import TacotronConfig, tacotron2
from speechseq.ranges import Count, Seed, Workers
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.doctor_validation import doctor_validation
from speechseq.training.resume import seed_everything
from speechseq.training.saving import ModelDescription
from speechseq.training.schedule import ExponentialConfig
from speechseq.training.trainer import Trainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(LJSpeechConfig):
    """Settings of corpus, model and training; `judged` sentences are evaluated at the end."""

    judged: Count = 20
    phonemes: bool = False  # the texts as phonemes of espeak, instead of as characters
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
    """Read the corpus, train, evaluate, and write the report."""
    need("judge", *["espeak"] * settings.phonemes)
    audio = settings.audio
    splits = settings.read()
    train, dev = (features.compute(c, audio, settings.cache) for c in (splits.train, splits.dev))
    texts = [cut.supervisions[0].text for cut in dev][: settings.judged]

    vocabulary = Vocabulary.phonemes() if settings.phonemes else Vocabulary.characters()
    collate = TTSCollate(vocabulary, audio, frame_multiple=settings.model.decoder.frame_multiple)
    collate.check(splits.train + splits.dev)
    plan = {"frames_per_batch": settings.frames_per_batch, "workers": settings.workers}
    batches, held_out = (Batches(c, collate, seed=settings.seed, **plan) for c in (train, dev))
    seed_everything(settings.seed)
    model = settings.model.build(symbols=len(vocabulary), mels=audio.mels)
    loss = TacotronLoss(settings.loss)
    summary = Trainer(
        model,
        loss,
        batches,
        settings.trainer,
        run=run,
        about=ModelDescription(model=settings.model, audio=audio, vocabulary=vocabulary),
        validate=doctor_validation(loss, held_out.one_epoch, audio),
        samples=spoken(vocabulary, audio, texts[:2]),
        device=settings.device,
    ).run()

    synthesizer = Synthesizer.load(summary.checkpoint, settings.device)
    title, text = "Tacotron 2 on LJSpeech", f"Held-out sentences after {summary.updates} updates."
    recordings = [features.load_waveform(cut, audio) for cut in dev][: settings.judged]
    evaluation = evaluate_tts(synthesizer, texts, recordings, Judge.sentences())
    report_tts(run, evaluation, settings, summary, title=title, text=text)


if __name__ == "__main__":
    sys.exit(run_recipe(main, Settings))
