"""The speech chain: a small LAS learns digits from several voices, and transcribes our TTS.

    python recipes/tts/any_sentence.py --run runs/demo/voice
    python recipes/asr/speech_chain.py --voice runs/demo/voice --run runs/demo/ears

This is the second half of `make demo`. It makes its corpus with espeak, trains the LAS without a
CTC loss, and transcribes unseen strings and the speech of the first half; RUN/report.html shows
both. Needs the extra `demo`.
"""

import dataclasses
import sys
import time
from pathlib import Path

import torch

from speechseq.audio.mel import AudioConfig
from speechseq.cli import run_recipe
from speechseq.corpus import features, speech_chain
from speechseq.corpus.collate_speech import ASRCollate
from speechseq.corpus.sampling import Batches
from speechseq.corpus.spoken_digits import WORDS
from speechseq.evaluation.asr import evaluate_asr, items_of, items_of_speech
from speechseq.evaluation.speech_chain import evaluate_voice, report_chain
from speechseq.evaluation.validation import error_rate
from speechseq.extras import need
from speechseq.inference.search.beam import Beam, usual_beam
from speechseq.inference.search.limits import LimitConfig
from speechseq.inference.transcriber import Transcriber
from speechseq.models.las import LASConfig, las_small
from speechseq.models.las_loss import LASLoss, LASLossConfig
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.ranges import Count, Seed, Threads
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.resume import seed_everything
from speechseq.training.saving import ModelDescription
from speechseq.training.schedule import ExponentialConfig
from speechseq.training.trainer import Trainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(speech_chain.SpeechChainConfig):
    """Settings of corpus, model and training."""

    frames_per_batch: Count = 8000
    threads: Threads = 1
    seed: Seed = 0
    audio: AudioConfig = AudioConfig.preset("las")
    model: LASConfig = dataclasses.replace(
        las_small(), reading=ReadingConfig(window=40, sharpening=2.0)
    )
    loss: LASLossConfig = LASLossConfig(label_smoothing=0.1)
    search: Beam = dataclasses.replace(usual_beam(8), limit=LimitConfig(tokens_per_position=0.3))
    trainer: TrainerConfig = TrainerConfig(
        updates=200,
        learning_rate=2e-3,
        schedule=ExponentialConfig(warmup=50, start=100, end=200, floor=0.05),
        weight_decay=0.0,
        ema_decay=0.95,
        log_every=25,
        checkpoint_every=100,
        keep=1,
    )


def main(settings: Settings, run: Path) -> None:
    """Evaluate the voice, make the corpus, train, evaluate, and write the report."""
    need("espeak", "judge")
    torch.set_num_threads(settings.threads)
    began, audio = time.monotonic(), settings.audio
    voice = evaluate_voice(settings, run / "corpus" / "voice")
    said = [speech.text for speech in voice.speech]
    train, test = speech_chain.make(settings, run / "corpus", seed=settings.seed, exclude=said)
    train, test = (features.compute(c, audio, run / "corpus" / "mels") for c in (train, test))
    vocabulary = Vocabulary.words(WORDS)
    collate = ASRCollate(vocabulary, audio)
    batches, held_out = (
        Batches(cuts, collate, frames_per_batch=settings.frames_per_batch, seed=settings.seed)
        for cuts in (train, test)
    )
    seed_everything(settings.seed)
    summary = Trainer(
        settings.model.build(symbols=len(vocabulary), features=audio.features),
        LASLoss(settings.loss),
        batches,
        settings.trainer,
        run=run,
        about=ModelDescription(model=settings.model, audio=audio, vocabulary=vocabulary),
        validate=error_rate(held_out.one_epoch, vocabulary, limit=settings.search.limit),
    ).run()

    transcriber = Transcriber.load(summary.checkpoint)
    unseen = evaluate_asr(transcriber, items_of(test, audio), strategy=settings.search)
    spoken = items_of_speech(voice.speech, audio.sample_rate)
    chain = evaluate_asr(transcriber, spoken, strategy=settings.search)
    seconds = time.monotonic() - began
    report_chain(run, voice, unseen, chain, settings=settings, training=summary, seconds=seconds)


if __name__ == "__main__":
    sys.exit(run_recipe(main, Settings))
