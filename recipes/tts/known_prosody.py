"""Measured styles: digits with known prosody, a small Tacotron 2, and one of six styles.

    python recipes/tts/known_prosody.py --style vae --run runs/styles/vae

The recipe makes digit strings with espeak, whose pitch, range, rate and volume are drawn at random,
and trains the style with the model. Then it measures what each knob (dimension or token) changes,
what is transferred from references and, with several --voices, how often a judge knows them. It
writes the style card beside the weights, RUN/style.json and RUN/report.html. It runs on one CPU
core without a network. Needs the extras `demo` and `style`.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

import torch

from speechseq.audio.mel import AudioConfig
from speechseq.cli import run_recipe
from speechseq.corpus import features, known_prosody, spoken_digits
from speechseq.corpus.collate import TTSCollate
from speechseq.corpus.sampling import Batches
from speechseq.evaluation.judge import Judge
from speechseq.evaluation.style_report import Trained, report_style
from speechseq.evaluation.style_transfer import references
from speechseq.extras import need
from speechseq.inference.synthesizer import Synthesizer
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.models.speakers import speakers
from speechseq.models.style import builders
from speechseq.models.tacotron import TacotronConfig, tacotron2_small
from speechseq.ranges import Count, Seed, Threads
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.doctor_validation import doctor_validation
from speechseq.training.resume import seed_everything
from speechseq.training.saving import ModelDescription
from speechseq.training.schedule import ExponentialConfig
from speechseq.training.style_watch import style_watch
from speechseq.training.trainer import Trainer

STYLES = {
    "gst": builders.gst(style_dim=128),
    "prosody_transfer": builders.prosody_transfer(),
    "vae": builders.vae(weight=3e-4, dim=8, style_dim=128),
    "wae_mmd": builders.wae_mmd(weight=0.03, dim=8, style_dim=128),
    "flow_vae": builders.flow_vae(weight=3e-4, dim=8, style_dim=128),
    "autoencoder": builders.autoencoder(dim=8, style_dim=128),
}
SMALL = tacotron2_small(reduction_factor=4)
DECODER = dataclasses.replace(SMALL.decoder, prenet_dropout=0.2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(known_prosody.KnownProsodyConfig):
    """Settings of the corpus, the model and its training."""

    style: Literal["gst", "prosody_transfer", "vae", "wae_mmd", "flow_vae", "autoencoder"] = "vae"
    frames_per_batch: Count = 1250
    threads: Threads = 1
    seed: Seed = 0
    audio: AudioConfig = AudioConfig.preset("nvidia")
    model: TacotronConfig = dataclasses.replace(SMALL, decoder=DECODER)
    loss: TacotronLossConfig = TacotronLossConfig(
        l1=1.0, stop_positive_weight=5.0, guide=50.0, guide_sigma=0.3, guide_half_life=400.0
    )
    trainer: TrainerConfig = TrainerConfig(
        updates=3000,
        learning_rate=2e-3,
        schedule=ExponentialConfig(warmup=50, start=800, end=3000, floor=0.05),
        weight_decay=0.0,
        ema_decay=0.99,
    )


def main(settings: Settings, run: Path) -> None:
    """Make the corpus, train, measure style card and transfer, and write the report."""
    need("espeak", "judge", "style")
    torch.set_num_threads(settings.threads)
    audio, seed, voices = settings.audio, settings.seed, settings.voices
    train, held_out = known_prosody.make_split(settings, run / "corpus", seed=seed)
    test = list(held_out)
    train = features.compute(train, audio, run / "corpus/mels")
    vocabulary = Vocabulary.characters(sorted(set(" ".join(spoken_digits.WORDS))))
    style, r = STYLES[settings.style], settings.model.decoder.frame_multiple
    config = dataclasses.replace(settings.model, style=style, speakers=speakers(voices))
    collate = TTSCollate(vocabulary, audio, frame_multiple=r, speakers=voices)
    batches = Batches(train, collate, frames_per_batch=settings.frames_per_batch, seed=seed)
    seed_everything(seed)
    model = config.build(symbols=len(vocabulary), mels=audio.mels)
    about = ModelDescription(model=config, audio=audio, vocabulary=vocabulary)
    loss, twenties = TacotronLoss(settings.loss), range(0, len(test) - 1, 20)
    watch = style_watch(lambda: (collate(test[i : i + 20]) for i in twenties))
    losses = doctor_validation(loss, lambda: (collate(test[i : i + 20]) for i in twenties), audio)
    parts = model, loss, batches, settings.trainer
    summary = Trainer(
        *parts, run=run, about=about, validate=lambda model: losses(model) | watch(model)
    ).run()

    known, held = (references(cuts, audio) for cuts in (list(train)[:300], test))
    synthesizer = Synthesizer.load(summary.checkpoint)
    trained = Trained(settings.style, seed, settings, summary)
    report_style(run, synthesizer, known, held, Judge.digits(), trained)


if __name__ == "__main__":
    sys.exit(run_recipe(main, Settings))
