"""Open vocabulary without downloads: a LAS learns to spell sentences that espeak says.

    speechseq train recipes/asr/espeak_sentences.py --run runs/sentences
    speechseq train recipes/lm/sentences.py --run runs/lm --recogniser runs/sentences \\
        --exclude runs/sentences/corpus/test.txt
    speechseq train recipes/asr/espeak_sentences.py --run runs/sentences --lm runs/lm

Sentences of a grammar, several hundred words, many voices; the model writes characters. A CTC head
shows the attention the way in the beginning. At the end it reads unseen sentences by voices that it
knows and by voices that it never heard. Once trained, the same command with `--lm` only reads anew,
with that language model beside it. Needs the extra `demo`.
"""

import dataclasses
import json
import string
import sys
from pathlib import Path

import torch
from lhotse import CutSet

from speechseq.audio.augment import SpecAugmentPolicy
from speechseq.audio.mel import AudioConfig
from speechseq.cli import run_recipe
from speechseq.config import Config
from speechseq.corpus import espeak_sentences, features
from speechseq.corpus.collate_speech import ASRCollate
from speechseq.corpus.sampling import Batches
from speechseq.evaluation.asr import evaluate_asr, items_of, write_report
from speechseq.evaluation.validation import error_rate
from speechseq.extras import need
from speechseq.file_writing import replace_file
from speechseq.inference.lm import scorer as lm_scorer
from speechseq.inference.search.beam import Beam
from speechseq.inference.search.greedy import Greedy
from speechseq.inference.search.interfaces import Fused
from speechseq.inference.search.limits import LimitConfig
from speechseq.inference.search.scoring import ScoreConfig
from speechseq.inference.transcriber import Transcriber
from speechseq.models.las import LASConfig
from speechseq.models.las_loss import LASLoss, LASLossConfig
from speechseq.models.listener import ListenerConfig
from speechseq.models.speller import SpellerConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.ranges import Count, Seed, Threads, Weight
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

    utterances: Count = 6000
    test_utterances: Count = 200
    frames_per_batch: Count = 10_000
    threads: Threads = 1
    lm: str = ""
    lm_weight: Weight = 0.3
    seed: Seed = 0
    spec_augment: bool = True
    audio: AudioConfig = AudioConfig.preset("las")
    augment: SpecAugmentPolicy = SpecAugmentPolicy(
        warp=0, band_width=8, frame_width=20, frame_share=0.1
    )
    model: LASConfig = LASConfig(
        listener=ListenerConfig(
            convolutions=(16, 16), hidden=192, base_layers=2, pyramid_layers=0, dropout=0.1
        ),
        speller=SpellerConfig(
            embedding=64,
            layers=1,
            hidden=256,
            attention=LocationSensitiveConfig(dim=128, filters=10, kernel=51),
            dropout=0.1,
        ),
        ctc=True,
    )
    loss: LASLossConfig = LASLossConfig(label_smoothing=0.1, ctc=0.3)
    search: Beam = Beam(
        score=ScoreConfig(end_threshold=1.5),
        limit=LimitConfig(tokens_per_position=1.0),
    )
    trainer: TrainerConfig = TrainerConfig(
        updates=900,
        learning_rate=2e-3,
        schedule=ExponentialConfig(warmup=100, start=450, end=900, floor=0.03),
        weight_decay=0.0,
        ema_decay=0.98,
        log_every=25,
        checkpoint_every=300,
        keep=1,
    )


def make_corpus(settings: Settings, folder: Path) -> tuple[CutSet, dict[str, CutSet]]:
    """What is learned from, and two tests of other sentences: voices that are known, and new ones.

    No sentence stands in two of them.
    """
    seen, unseen = espeak_sentences.SEEN_VOICES, espeak_sentences.UNSEEN_VOICES
    tests: dict[str, CutSet] = {}
    said: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    for offset, (name, voices) in enumerate((("seen voices", seen), ("unseen voices", unseen)), 1):
        tests[name] = espeak_sentences.make(
            folder / name.replace(" ", "_"),
            utterances=settings.test_utterances,
            seed=settings.seed + offset,
            voices=voices,
            exclude=said,
        )
        said += [cut.supervisions[0].text for cut in tests[name]]
        tests[name] = features.compute(tests[name], settings.audio, folder / "features")
    # for the language model's --exclude
    replace_file(folder / "test.txt", "".join(f"{text}\n" for text in said).encode())
    train = espeak_sentences.make(
        folder / "train",
        utterances=settings.utterances,
        seed=settings.seed,
        voices=seen,
        exclude=said,
    )
    return features.compute(train, settings.audio, folder / "features"), tests


def main(settings: Settings, run: Path) -> None:
    """Corpus, training, dictation, report."""
    need("espeak")
    torch.set_num_threads(settings.threads)
    audio = settings.audio
    train, tests = make_corpus(settings, run / "corpus")
    vocabulary = Vocabulary.transcripts(string.ascii_lowercase + " '")
    collate = ASRCollate(vocabulary, audio)
    learned, held_out = (
        Batches(cuts, collate, frames_per_batch=settings.frames_per_batch, seed=settings.seed)
        for cuts in (train, tests["seen voices"])
    )
    collate.check(train)
    seed_everything(settings.seed)
    augment = settings.augment if settings.spec_augment else None
    config = dataclasses.replace(settings.model, augment=augment)
    summary = Trainer(
        config.build(symbols=len(vocabulary), features=audio.features),
        LASLoss(settings.loss),
        learned,
        settings.trainer,
        run=run,
        about=ModelDescription(model=config, audio=audio, vocabulary=vocabulary),
        validate=error_rate(held_out.one_epoch, vocabulary, Greedy(limit=settings.search.limit)),
    ).run()

    transcriber = Transcriber.load(summary.checkpoint)
    scorers = []
    if settings.lm:
        scorers = [Fused("lm", lm_scorer.load(settings.lm, vocabulary), settings.lm_weight)]
    found = {
        name: evaluate_asr(
            transcriber, items_of(cuts, audio), strategy=settings.search, scorers=scorers
        )
        for name, cuts in tests.items()
    }
    result = {name: dictation.score.wer for name, dictation in found.items()}
    result |= {"updates": summary.updates, "seconds": summary.seconds}
    name = "result_lm.json" if settings.lm else "result.json"
    replace_file(run / name, json.dumps(result).encode())
    write_report(
        run / "report.html",
        found["seen voices"],
        title="speechseq: spelled sentences",
        summary=f"A LAS learned to spell from {settings.utterances} sentences of espeak's voices; "
        "it never heard the sentences below.",
        curves=curves(run),
        settings=settings.to_dict(),
        further=[found["unseen voices"].section(title="Voices that it never heard")],
    )
    for name, dictation in found.items():
        print(f"{name}: {dictation.line()}")
    print(f"{run / 'report.html'}: {summary.updates} updates in {summary.seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(run_recipe(main, Settings))
