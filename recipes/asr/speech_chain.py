"""The speech chain: a small LAS learns digits from several voices, and hears one that we made.

    python recipes/tts/spoken_digits.py --run runs/demo/voice
    python recipes/asr/speech_chain.py --voice runs/demo/voice --run runs/demo/ears

The second half of `make demo`. Makes its corpus with espeak, trains by attention alone, reads
strings that it never heard, then what the voice of the first half says; RUN/report.html shows both
halves. Needs the extra `demo`.
"""

import dataclasses
import sys
import time
from pathlib import Path

import torch
from lhotse import CutSet

from speechseq.audio import wav
from speechseq.audio.mel import AudioConfig
from speechseq.cli import run_recipe
from speechseq.config import Config
from speechseq.corpus import features, spoken_digits
from speechseq.corpus.collate_speech import ASRCollate
from speechseq.corpus.espeak import Pitch, Rate
from speechseq.corpus.sampling import Batches
from speechseq.evaluation.asr import Item, evaluate_asr, items_of
from speechseq.evaluation.judge import Judge
from speechseq.evaluation.report.page import Figure
from speechseq.evaluation.tts import TTSEvaluation, evaluate_tts, write_report
from speechseq.evaluation.validation import error_rate
from speechseq.extras import need
from speechseq.inference.search.beam import Beam
from speechseq.inference.search.greedy import Greedy
from speechseq.inference.search.limits import LimitConfig
from speechseq.inference.search.scoring import ScoreConfig
from speechseq.inference.synthesizer import Synthesizer
from speechseq.inference.transcriber import Transcriber
from speechseq.models.las import LASConfig, las_small
from speechseq.models.las_loss import LASLoss, LASLossConfig
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.ranges import Count, Seed, Threads
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.log import curves
from speechseq.training.resume import seed_everything
from speechseq.training.saving import ModelDescription
from speechseq.training.schedule import ExponentialConfig
from speechseq.training.trainer import Summary, Trainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Config):
    """Numbers of the corpus, the model and its training.

    voice, voice_strings, voice_seed: the first half's run, its test strings and its seed.
    """

    voice: str = "runs/demo/voice"
    voice_strings: Count = 20
    voice_seed: Seed = 0
    utterances: Count = 1200
    test_utterances: Count = 60
    voices: tuple[str, ...] = ("en-us", "en-gb", "en-gb-scotland", "en-us+m3", "en-gb-x-rp")
    rates: tuple[Rate, ...] = (120, 140, 160, 180)
    pitches: tuple[Pitch, ...] = (30, 50, 70)
    frames_per_batch: Count = 8000
    threads: Threads = 1
    seed: Seed = 0
    audio: AudioConfig = AudioConfig.preset("las")
    model: LASConfig = dataclasses.replace(
        las_small(), reading=ReadingConfig(window=40, sharpening=2.0)
    )
    loss: LASLossConfig = LASLossConfig(label_smoothing=0.1)
    search: Beam = Beam(
        score=ScoreConfig(end_threshold=1.5), limit=LimitConfig(tokens_per_position=0.3)
    )
    trainer: TrainerConfig = TrainerConfig(
        updates=300,
        learning_rate=2e-3,
        schedule=ExponentialConfig(warmup=50, start=150, end=300, floor=0.05),
        weight_decay=0.0,
        ema_decay=0.95,
        log_every=25,
        checkpoint_every=150,
        keep=1,
    )


def make_corpus(settings: Settings, voice: TTSEvaluation, folder: Path) -> tuple[CutSet, CutSet]:
    """What is learned from, and what is held out; no string stands in both, nor the voice's."""
    said = [speech.text for speech in voice.speech]
    many = {"voices": settings.voices, "rates": settings.rates, "pitches": settings.pitches}
    test = spoken_digits.make(
        folder / "test",
        utterances=settings.test_utterances,
        seed=settings.seed + 2,
        exclude=said,
        **many,
    )
    train = spoken_digits.make(
        folder / "train",
        utterances=settings.utterances,
        seed=settings.seed,
        exclude=[*said, *(cut.supervisions[0].text for cut in test)],
        **many,
    )
    train, test = (features.compute(c, settings.audio, folder / "mels") for c in (train, test))
    return train, test


def train_recogniser(settings: Settings, train: CutSet, test: CutSet, run: Path) -> Summary:
    """Every joint from cuts to a checkpoint."""
    vocabulary = Vocabulary.words(spoken_digits.WORDS)
    collate = ASRCollate(vocabulary, settings.audio)
    learned, held_out = (
        Batches(cuts, collate, frames_per_batch=settings.frames_per_batch, seed=settings.seed)
        for cuts in (train, test)
    )
    seed_everything(settings.seed)
    model = settings.model.build(symbols=len(vocabulary), features=settings.audio.features)
    return Trainer(
        model,
        LASLoss(settings.loss),
        learned,
        settings.trainer,
        run=run,
        about=ModelDescription(model=settings.model, audio=settings.audio, vocabulary=vocabulary),
        validate=error_rate(held_out.one_epoch, vocabulary, Greedy(limit=settings.search.limit)),
    ).run()


def hear_voice(settings: Settings) -> TTSEvaluation:
    """What the first half's voice says, judged; strings and originals are those it kept."""
    run = Path(settings.voice)
    synthesizer = Synthesizer.load(run)
    test = spoken_digits.make(
        run / "corpus" / "test",
        utterances=settings.voice_strings,
        seed=settings.voice_seed + 1,
        voices=("en-us",),
        rates=(150,),
    )
    recordings = [features.load_waveform(cut, synthesizer.audio) for cut in test]
    texts = [cut.supervisions[0].text for cut in test]
    return evaluate_tts(synthesizer, texts, recordings, Judge.digits())


def main(settings: Settings, run: Path) -> None:
    """Voice, corpus, training, dictations, report."""
    need("espeak", "judge")
    torch.set_num_threads(settings.threads)
    began = time.monotonic()
    voice = hear_voice(settings)
    train, test = make_corpus(settings, voice, run / "corpus")
    summary = train_recogniser(settings, train, test, run)
    transcriber = Transcriber.load(summary.checkpoint)
    unseen = evaluate_asr(transcriber, items_of(test, settings.audio), strategy=settings.search)
    chain = evaluate_asr(
        transcriber, _said(voice, settings.audio.sample_rate), strategy=settings.search
    )
    seconds = time.monotonic() - began
    write_report(
        run / "report.html",
        voice,
        title="speechseq: a voice, and ears for it",
        summary="A Tacotron 2 learned to say digits, then a LAS learned to write them down from "
        f"{len(settings.voices)} voices of espeak. Neither met the strings below before.",
        curves=curves(Path(settings.voice)),
        settings=settings.to_dict(),
        further=[
            unseen.section(
                title="Written down: strings that it never heard",
                figures=[Figure(label="time", value=f"{seconds / 60:.1f} min", note="the ears")],
                curves=curves(run),
            ),
            chain.section(title="The speech chain: our ears hear our voice"),
        ],
    )
    print(f"voice: {voice.line()}")
    print(f"unseen strings: {unseen.line()}")
    print(f"the voice, heard by our own ears: {chain.line()}")
    print(f"{run / 'report.html'}: {seconds:.0f} s, {summary.updates} updates")


def _said(voice: TTSEvaluation, sample_rate: int) -> list[Item]:
    """What a voice said, as a recogniser of this sample rate hears it."""
    return [
        Item(
            text=speech.text,
            waveform=wav.resample(speech.waveform[None], speech.sample_rate, sample_rate),
            id=f"string {number}",
        )
        for number, speech in enumerate(voice.speech, 1)
    ]


if __name__ == "__main__":
    sys.exit(run_recipe(main, Settings))
