"""Tacotron on LJSpeech: the first model of the family, which predicts the linear spectrum.

    speechseq prepare ljspeech data/raw --download
    speechseq train recipes/tts/ljspeech_tacotron.py --run runs/ljspeech_tacotron

The recipe reads an LJSpeech-1.1 folder (--root), trains, speaks the held-out sentences, and writes
RUN/report.html with a recogniser's word errors for them and for the recordings. The post-net
predicts linear magnitudes, so Griffin-Lim needs no inverted mels. On a CPU: --config
recipes/overlays/tacotron_cpu.yaml
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
from speechseq.models.tacotron import TacotronConfig, tacotron1
from speechseq.ranges import Count, Seed, Workers
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.doctor_validation import doctor_validation
from speechseq.training.resume import seed_everything
from speechseq.training.saving import ModelDescription
from speechseq.training.schedule import InverseSquareRootConfig
from speechseq.training.trainer import Trainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(LJSpeechConfig):
    """Settings of corpus, model and training; `judged` sentences are evaluated at the end."""

    judged: Count = 20
    device: str = "cuda"
    workers: Workers = 4
    frames_per_batch: Count = 40_000
    seed: Seed = 0
    audio: AudioConfig = AudioConfig.preset("nvidia")
    model: TacotronConfig = tacotron1(reduction_factor=2)
    loss: TacotronLossConfig = TacotronLossConfig(
        mse=0.0,
        l1=1.0,
        linear=1.0,
        low_frequency_share=0.5,
        low_frequency_bins=140,  # 0-3 kHz of 513 bins at 22,050 Hz
        stop_positive_weight=5.0,
        guide=50.0,
        guide_sigma=0.3,
        guide_half_life=5000.0,
    )
    trainer: TrainerConfig = TrainerConfig(
        updates=100_000,
        amp="bf16",
        checkpoint_every=2000,
        learning_rate=2e-3,
        schedule=InverseSquareRootConfig(warmup=4000),
    )


def main(settings: Settings, run: Path) -> None:
    """Read the corpus, train, evaluate, and write the report."""
    need("judge")
    audio = settings.audio
    splits = settings.read()
    train, dev = (features.compute(c, audio, settings.cache) for c in (splits.train, splits.dev))
    texts = [cut.supervisions[0].text for cut in dev][: settings.judged]

    vocabulary = Vocabulary.characters()
    r = settings.model.decoder.frame_multiple
    collate = TTSCollate(vocabulary, audio, frame_multiple=r, log_magnitude=True)
    collate.check(splits.train + splits.dev)
    plan = {"frames_per_batch": settings.frames_per_batch, "workers": settings.workers}
    batches, held_out = (Batches(c, collate, seed=settings.seed, **plan) for c in (train, dev))
    seed_everything(settings.seed)
    loss = TacotronLoss(settings.loss)
    summary = Trainer(
        settings.model.build(symbols=len(vocabulary), mels=audio.mels, bins=audio.bins),
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
    title, text = "Tacotron on LJSpeech", f"Held-out sentences after {summary.updates} updates."
    recordings = [features.load_waveform(cut, audio) for cut in dev][: settings.judged]
    evaluation = evaluate_tts(synthesizer, texts, recordings, Judge.sentences())
    report_tts(run, evaluation, settings, summary, title=title, text=text)


if __name__ == "__main__":
    sys.exit(run_recipe(main, Settings))
