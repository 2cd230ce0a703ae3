"""Language models for a recogniser: an LSTM over its own symbols, and n-grams.

    python recipes/lm/sentences.py --run runs/lm --texts LibriSpeech/train-clean-100 \\
        --recogniser runs/librispeech_las --ngrams 6 --word_ngrams 3

The recipe reads a text file with one sentence per line, plain or with ids as in LibriSpeech's
transcripts, or a folder of such files; the default is the grammar of the espeak recipe. It trains,
prints the perplexity of held-out sentences, and writes RUN/symbols.arpa and RUN/words.arpa. The
symbols are those of the model in --recogniser; --exclude FILE has texts to leave out, those of its
test.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import torch

from speechseq.checkpoint.folder import VOCABULARY, resolve
from speechseq.cli import run_recipe
from speechseq.config import Config
from speechseq.corpus import espeak_sentences, sentences
from speechseq.corpus.sentences import SentenceBatches
from speechseq.inference.lm.estimate import estimate_symbols, estimate_words
from speechseq.inference.lm.scorer import RNNScorer, perplexity
from speechseq.models import language_model
from speechseq.models.language_model import LanguageModelConfig, LanguageModelLoss
from speechseq.ranges import Count, Range, Seed, Threads, WidthOrNone
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.resume import seed_everything
from speechseq.training.saving import ModelDescription
from speechseq.training.schedule import ExponentialConfig
from speechseq.training.trainer import Trainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Config):
    """Settings of the texts, the model and its training; no n-grams are estimated for order 0.

    The vocabulary is that of `recogniser`; without one, the symbols are the texts' characters or
    `pieces` word pieces.
    """

    texts: str = ""
    exclude: str = ""
    grammar_sentences: Count = 20_000
    held_out: Count = 500
    recogniser: str = ""
    pieces: WidthOrNone = 0
    ngrams: Annotated[int, Range(0, 100)] = 0
    word_ngrams: Annotated[int, Range(0, 100)] = 0
    device: str = "cpu"
    threads: Threads = 1
    tokens_per_batch: Count = 4000
    seed: Seed = 0
    model: LanguageModelConfig = LanguageModelConfig(embedding=64, hidden=256)
    trainer: TrainerConfig = TrainerConfig(
        updates=1000,
        learning_rate=3e-3,
        schedule=ExponentialConfig(warmup=50, start=400, end=1000, floor=0.03),
        weight_decay=0.0,
        log_every=50,
        checkpoint_every=250,
        keep=1,
    )


def main(settings: Settings, run: Path) -> None:
    """Read the texts, train, estimate n-grams, and print perplexities."""
    torch.set_num_threads(settings.threads)
    exclude = {s.text for s in sentences.read(settings.exclude)} if settings.exclude else set()
    if settings.texts:
        found = [s for s in sentences.read(settings.texts) if s.text not in exclude]
    else:
        number, seed = settings.grammar_sentences, settings.seed + 100
        found = espeak_sentences.draw(number, seed, exclude=exclude)
    train, dev = sentences.split(found, settings.held_out)
    texts, held_out_texts = ([sentence.text for sentence in part] for part in (train, dev))
    if settings.recogniser:
        vocabulary = Vocabulary.load(resolve(settings.recogniser) / VOCABULARY)
    elif settings.pieces:
        vocabulary = Vocabulary.train_pieces(texts + held_out_texts, settings.pieces)
    else:
        vocabulary = Vocabulary.transcripts(sorted(set("".join(texts + held_out_texts))))
    plan = {"tokens_per_batch": settings.tokens_per_batch, "seed": settings.seed}
    batches, held_out = (SentenceBatches(part, vocabulary, **plan) for part in (train, dev))
    seed_everything(settings.seed)
    summary = Trainer(
        settings.model.build(symbols=len(vocabulary)),
        LanguageModelLoss(),
        batches,
        settings.trainer,
        run=run,
        about=ModelDescription(model=settings.model, audio=None, vocabulary=vocabulary),
        validate=lambda m: {"perplexity": language_model.perplexity(m, held_out.one_epoch())},
        device=settings.device,
    ).run()

    scorers = {"LSTM": RNNScorer.load(run, vocabulary)}
    if order := settings.ngrams:
        path = run / "symbols.arpa"
        scorers["n-grams of symbols"] = estimate_symbols(path, texts, order, vocabulary)
    if order := settings.word_ngrams:
        path = run / "words.arpa"
        scorers["n-grams of words"] = estimate_words(path, texts, order, vocabulary)
    print(f"{summary.checkpoint}: {summary.updates} updates, {summary.seconds:.0f} s")
    print(f"perplexity a symbol, of {len(dev)} held-out sentences:")
    for name, scorer in scorers.items():
        print(f"  {name:20} {perplexity(scorer, vocabulary, held_out_texts):.3f}")


if __name__ == "__main__":
    sys.exit(run_recipe(main, Settings))
