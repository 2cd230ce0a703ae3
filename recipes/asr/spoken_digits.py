"""Connected digits, real recordings: a small LAS learns strings joined from the FSDD.

    speechseq train recipes/asr/spoken_digits.py --run runs/digits

Joins recordings of single digits (8 kHz, six speakers) to strings of 1 to 7 in several ways, adds
sounds in which nobody speaks, trains by attention alone, then reads strings of recordings that it
never heard, joined in each way, and strings ten times as long, and says how far its word times are
from the true ones. `--held_out theo` keeps a whole speaker for the test.
"""

import dataclasses
import json
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Annotated

import torch
from lhotse import CutSet

from speechseq.audio.mel import AudioConfig
from speechseq.cli import run_recipe
from speechseq.config import Config
from speechseq.corpus import (
    digit_strings,
    espeak_sentences,
    features,
    fsdd,
    joining_ways,
    spoken_digits,
    wordless,
)
from speechseq.corpus.collate_speech import ASRCollate
from speechseq.corpus.sampling import Batches
from speechseq.corpus.spoken_digits import WORDS
from speechseq.evaluation.asr import evaluate_asr, items_of, write_report
from speechseq.evaluation.joining import evaluate_joining
from speechseq.evaluation.validation import error_rate
from speechseq.evaluation.word_times import boundary_errors
from speechseq.extras import need
from speechseq.file_writing import replace_file
from speechseq.inference.search.beam import Beam
from speechseq.inference.search.greedy import Greedy
from speechseq.inference.search.limits import LimitConfig
from speechseq.inference.search.scoring import ScoreConfig
from speechseq.inference.transcriber import Transcriber
from speechseq.models.las import LASConfig, las_small
from speechseq.models.las_loss import LASLoss, LASLossConfig
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.nn.normalization import UtteranceNormConfig
from speechseq.ranges import BelowOne, Count, CountOrNone, Finite, Range, Seed, Threads
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.log import curves
from speechseq.training.resume import seed_everything
from speechseq.training.saving import ModelDescription
from speechseq.training.schedule import ExponentialConfig
from speechseq.training.trainer import Trainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Config):
    """Numbers of the corpus, the model and its training."""

    root: str = "data/raw/free-spoken-digit-dataset"
    held_out: str = ""  # a speaker of whom nothing is learned, and who alone is tested
    content: bool = False  # attention by content alone, to be compared with the location's
    utterances: Count = 4000
    test_utterances: Count = 200
    long_utterances: CountOrNone = 20
    joined_utterances: Count = 100  # strings of each other way of joining
    longest: Annotated[int, Range(1, 1000)] = (
        7  # digits of a string; long ones have ten times as many
    )
    wordless: Count = 300  # sounds in which nobody speaks, learned beside the strings
    synthetic: CountOrNone = (
        0  # strings of espeak's voices that are learned beside them; extra `demo`
    )
    speed: BelowOne = 0.05  # each string is learned faster or slower by up to so much
    snr: tuple[Finite, Finite] | None = None  # dB of speech over noise in what is learned
    frames_per_batch: Count = 8000
    threads: Threads = 1
    seed: Seed = 0
    audio: AudioConfig = dataclasses.replace(
        AudioConfig.preset("las"), sample_rate=8000, n_fft=256, window=200, hop=80, fmax=4000.0
    )
    model: LASConfig = dataclasses.replace(
        las_small(),
        reading=ReadingConfig(window=40, sharpening=2.0),
        normalization=UtteranceNormConfig(depth=11.0),
    )
    loss: LASLossConfig = LASLossConfig(label_smoothing=0.1)
    search: Beam = Beam(
        score=ScoreConfig(end_threshold=1.5), limit=LimitConfig(tokens_per_position=0.3)
    )
    trainer: TrainerConfig = TrainerConfig(
        updates=1000,
        learning_rate=2e-3,
        schedule=ExponentialConfig(warmup=50, start=500, end=1000, floor=0.03),
        weight_decay=0.0,
        ema_decay=0.98,
        log_every=25,
        checkpoint_every=200,
        keep=1,
    )


def make_corpus(settings: Settings, folder: Path) -> tuple[CutSet, dict[str, CutSet]]:
    """What is learned from, and the tests: recordings of theirs are in no string learned."""
    train, test = fsdd.read(settings.root)
    apart = only = (settings.held_out,) if settings.held_out else ()
    learned = digit_strings.make(
        train,
        folder / "train",
        utterances=settings.utterances,
        seed=settings.seed,
        longest=settings.longest,
        ways=joining_ways.learned(settings.snr),
        without=apart,
    )
    learned += wordless.make(
        folder / "wordless",
        utterances=settings.wordless,
        sample_rate=settings.audio.sample_rate,
        seed=settings.seed,
        recordings=train.filter(lambda cut: cut.supervisions[0].speaker not in apart),
    )
    if settings.synthetic:
        learned += spoken_digits.make(
            folder / "synthetic",
            utterances=settings.synthetic,
            seed=settings.seed,
            longest=settings.longest,
            voices=(*espeak_sentences.SEEN_VOICES, *espeak_sentences.UNSEEN_VOICES),
            rates=(110, 140, 170, 200),
            pitches=(20, 35, 50, 65),
        )
    chance = random.Random(settings.seed)
    fastest = round(100 * settings.speed)
    hurried = [cut.perturb_speed(1 + chance.randint(-fastest, fastest) / 100) for cut in learned]
    most = 10 * settings.longest
    tests = {
        name: digit_strings.make(
            test,
            folder / name,
            utterances=count,
            seed=settings.seed + 1,
            shortest=shortest,
            longest=longest,
            speakers=only,
        )
        for name, count, shortest, longest in (
            ("short", settings.test_utterances, 1, settings.longest),
            ("long", settings.long_utterances, most * 5 // 7, most),
        )
    }
    return features.compute(CutSet.from_cuts(hurried), settings.audio, folder / "mels"), tests


def model_of(settings: Settings) -> LASConfig:
    """The model, with the attention that is asked for."""
    if not settings.content:
        return settings.model
    reading = settings.model.speller.attention.reading
    speller = dataclasses.replace(
        settings.model.speller, attention=ContentConfig(dim=128, reading=reading)
    )
    return dataclasses.replace(settings.model, speller=speller)


def main(settings: Settings, run: Path) -> None:
    """Corpus, training, dictation, report."""
    need(*["espeak"] if settings.synthetic else [])
    torch.set_num_threads(settings.threads)
    audio = settings.audio
    train, tests = make_corpus(settings, run / "corpus")
    vocabulary = Vocabulary.words(WORDS)
    collate = ASRCollate(vocabulary, audio)
    batches = Batches(
        train, collate, frames_per_batch=settings.frames_per_batch, seed=settings.seed
    )
    held_out = Batches(
        tests["short"], collate, frames_per_batch=settings.frames_per_batch, seed=settings.seed
    )
    seed_everything(settings.seed)
    config = model_of(settings)
    model = config.build(symbols=len(vocabulary), features=audio.features)
    summary = Trainer(
        model,
        LASLoss(settings.loss),
        batches,
        settings.trainer,
        run=run,
        about=ModelDescription(model=config, audio=audio, vocabulary=vocabulary),
        validate=error_rate(held_out.one_epoch, vocabulary, Greedy(limit=settings.search.limit)),
    ).run()

    began = time.monotonic()
    transcriber = Transcriber.load(summary.checkpoint)
    transcriber.longest_seconds = 120.0
    found = {
        name: evaluate_asr(transcriber, items_of(cuts, audio), strategy=settings.search)
        for name, cuts in tests.items()
    }
    joining = evaluate_joining(
        transcriber,
        fsdd.read(settings.root).test,
        run / "corpus/joined",
        utterances=settings.joined_utterances,
        seed=settings.seed + 1,
        longest=settings.longest,
        speakers=(settings.held_out,) if settings.held_out else (),
        strategy=settings.search,
    )
    errors = boundary_errors(tests["short"], found["short"].transcripts)
    result = {
        "wer": {name: dictation.score.wer for name, dictation in found.items()},
        "joining": joining.data(),
        "boundary_error": statistics.median(errors) if errors else None,
        "updates": summary.updates,
        "training_seconds": summary.seconds,
        "reading_seconds": time.monotonic() - began,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    replace_file(run / "result.json", json.dumps(result, indent=1).encode())
    write_report(
        run / "report.html",
        found["short"],
        title="speechseq: connected digits",
        summary=f"A LAS of {result['parameters'] / 1e6:.1f} M parameters learned connected digits "
        "of real speech; it heard none of these recordings before.",
        curves=curves(run),
        settings=settings.to_dict(),
        figures=joining.figures(),
        further=[found["long"].section(title="Ten times longer than learned")],
    )
    print(f"{run / 'report.html'}: {summary.updates} updates in {summary.seconds:.0f} s")
    for name, dictation in found.items():
        print(f"{name}: {dictation.line()}")
    print(joining.line())
    print(f"word times: median error {1000 * (result['boundary_error'] or 0):.0f} ms")


if __name__ == "__main__":
    sys.exit(run_recipe(main, Settings))
