"""Expressive voices: Tacotron 2 with a style, and with a table of speakers if there are several.

    speechseq train recipes/tts/styled_voice.py --root data/raw/voices --run runs/styled_voice

The recipe reads a folder of LJSpeech's layout whose metadata.csv may have a speaker column
(id|text|speaker, or as --columns says), trains one of four styles with the model, and writes
RUN/report.html, RUN/style.json and the style card: what each knob changes, what references
transfer, how often a judge knows the voices. On a CPU: --config recipes/overlays/tacotron2_cpu.yaml
"""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

from speechseq.audio.mel import AudioConfig
from speechseq.cli import run_recipe
from speechseq.corpus import features
from speechseq.corpus.collate import TTSCollate
from speechseq.corpus.ljspeech import LJSpeechConfig
from speechseq.corpus.sampling import Batches
from speechseq.evaluation.judge import Judge
from speechseq.evaluation.samples import spoken
from speechseq.evaluation.style_report import Trained, report_style
from speechseq.evaluation.style_transfer import references
from speechseq.extras import need
from speechseq.inference.synthesizer import Synthesizer
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.models.speakers import speakers
from speechseq.models.style import builders
from speechseq.models.tacotron import TacotronConfig, tacotron2
from speechseq.ranges import Count, Seed, Workers
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.doctor_validation import doctor_validation
from speechseq.training.resume import seed_everything
from speechseq.training.saving import ModelDescription
from speechseq.training.schedule import ExponentialConfig
from speechseq.training.style_watch import style_watch
from speechseq.training.trainer import Trainer

STYLES = {
    "gst": builders.gst(),
    "vae": builders.vae(weight=1e-3, length=10_000),
    "gmvae": builders.gmvae(weight=1e-3),
    "wae_mmd": builders.wae_mmd(weight=0.03),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(LJSpeechConfig):
    """Settings of corpus, model and training; `judged` sentences are evaluated at the end."""

    root: str = "data/raw/voices"
    columns: str = "id,text,speaker"
    style: Literal["gst", "vae", "gmvae", "wae_mmd"] = "vae"
    judged: Count = 20
    device: str = "cuda"
    workers: Workers = 4
    frames_per_batch: Count = 40_000
    seed: Seed = 0
    audio: AudioConfig = AudioConfig.preset("nvidia")
    model: TacotronConfig = tacotron2(reduction_factor=2)
    loss: TacotronLossConfig = TacotronLossConfig(
        stop_positive_weight=5.0, guide=50.0, guide_sigma=0.3, guide_half_life=5000.0
    )
    trainer: TrainerConfig = TrainerConfig(
        updates=150_000,
        amp="bf16",
        schedule=ExponentialConfig(warmup=500, start=50_000, end=150_000, floor=0.01),
        checkpoint_every=2000,
    )


def main(settings: Settings, run: Path) -> None:
    """Read the corpus, train, measure style card, transfer and speakers, and write the report."""
    need("judge", "style")
    audio, splits, seed = settings.audio, settings.read(), settings.seed
    said = [cut.supervisions[0] for cut in splits.train + splits.dev]
    names = sorted({one.speaker for one in said if one.speaker})
    voice, table = (names[0], speakers(names)) if names else (None, None)
    train, dev = (features.compute(c, audio, settings.cache) for c in (splits.train, splits.dev))
    vocabulary, r = Vocabulary.characters(), settings.model.decoder.frame_multiple
    collate = TTSCollate(vocabulary, audio, frame_multiple=r, speakers=names)
    collate.check(splits.train + splits.dev)
    plan = {"frames_per_batch": settings.frames_per_batch, "workers": settings.workers}
    batches, held_out = (Batches(c, collate, seed=seed, **plan) for c in (train, dev))
    seed_everything(seed)
    config = dataclasses.replace(settings.model, style=STYLES[settings.style], speakers=table)
    model = config.build(symbols=len(vocabulary), mels=audio.mels)
    loss = TacotronLoss(settings.loss)
    losses, watch = (
        doctor_validation(loss, held_out.one_epoch, audio),
        style_watch(held_out.one_epoch),
    )
    known, held = references(train, audio, most=300), references(dev, audio, most=settings.judged)
    texts = [reference.text for reference in held][:2]
    trainer = Trainer(
        *(model, loss, batches, settings.trainer),
        run=run,
        about=ModelDescription(model=config, audio=audio, vocabulary=vocabulary),
        validate=lambda model: losses(model) | watch(model),
        samples=spoken(vocabulary, audio, texts, speaker=voice),
        device=settings.device,
    )
    summary = trainer.run()

    synthesizer = Synthesizer.load(summary.checkpoint, settings.device)
    trained = Trained(settings.style, seed, settings, summary)
    report_style(run, synthesizer, known, held, Judge.sentences(), trained, texts=5)


if __name__ == "__main__":
    sys.exit(run_recipe(main, Settings))
