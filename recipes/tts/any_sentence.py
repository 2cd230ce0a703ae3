"""A voice for any sentence within minutes: a small Tacotron 2 learns to read aloud like espeak.

    python recipes/tts/any_sentence.py --run runs/demo/voice
    speechseq synthesize --checkpoint runs/demo/voice --text "Any sentence of yours."

espeak reads 1,900 sentences and phrases (--texts FILE for others, one a line). The model learns
from them as phonemes, and reads aloud sentences that it has not seen. An independent recogniser,
which knows the texts, transcribes its speech and espeak's; RUN/report.html has the word errors. It
uses one CPU core and no network. Needs the extra `demo`.
"""

import dataclasses
import sys
import time
from pathlib import Path

import torch

from speechseq.audio.mel import AudioConfig
from speechseq.cli import run_recipe
from speechseq.corpus import features, read_aloud, sentences
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
from speechseq.training.resume import seed_everything
from speechseq.training.saving import ModelDescription
from speechseq.training.schedule import ExponentialConfig
from speechseq.training.trainer import Trainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(read_aloud.ReadAloudConfig):
    """Settings of the corpus, the model and its training."""

    frames_per_batch: Count = 2500
    threads: Threads = 1
    seed: Seed = 0
    audio: AudioConfig = AudioConfig.preset("nvidia")
    model: TacotronConfig = tacotron2_small(reduction_factor=4)
    loss: TacotronLossConfig = TacotronLossConfig(
        mse=1.0, l1=1.0, stop_positive_weight=5.0, guide=50.0, guide_sigma=0.3
    )
    trainer: TrainerConfig = TrainerConfig(
        updates=1800,
        learning_rate=2e-3,
        schedule=ExponentialConfig(warmup=50, start=1200, end=1800, floor=0.05),
        weight_decay=0.0,
        ema_decay=0.99,
        log_every=50,
        checkpoint_every=600,
        keep=1,
    )


def main(settings: Settings, run: Path) -> None:
    """Make the corpus, train, evaluate, and write the report."""
    need("espeak", "judge")
    began, seed = time.monotonic(), settings.seed
    torch.set_num_threads(settings.threads)
    train, test = read_aloud.make(settings, run / "corpus", seed=seed)
    recordings = [features.load_waveform(cut, settings.audio) for cut in test]
    texts = [cut.supervisions[0].text for cut in test]
    vocabulary = Vocabulary.phonemes()
    r = settings.model.decoder.frame_multiple
    batches = Batches(
        features.compute(train, settings.audio, run / "corpus" / "mels"),
        TTSCollate(vocabulary, settings.audio, frame_multiple=r),
        frames_per_batch=settings.frames_per_batch,
        seed=seed,
    )
    seed_everything(seed)
    summary = Trainer(
        settings.model.build(symbols=len(vocabulary), mels=settings.audio.mels),
        TacotronLoss(settings.loss),
        batches,
        settings.trainer,
        run=run,
        about=ModelDescription(model=settings.model, audio=settings.audio, vocabulary=vocabulary),
        samples=spoken(vocabulary, settings.audio, texts[:2], name="test"),
    ).run()

    judge = Judge.of_texts(sentence.text for sentence in sentences.read(settings.texts))
    report_tts(
        run,
        evaluate_tts(Synthesizer.load(summary.checkpoint), texts, recordings, judge),
        settings,
        summary,
        title="speechseq: a voice for any sentence",
        text=f"A small Tacotron 2 learned to read aloud from {len(train)} sentences of espeak's "
        f"voice {settings.voice}. It has not seen the sentences below; the judge knows them.",
        seconds=time.monotonic() - began,
    )


if __name__ == "__main__":
    sys.exit(run_recipe(main, Settings))
