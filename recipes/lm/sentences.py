"""Language models for a recogniser: an LSTM over its own symbols, and n-grams.

    python recipes/lm/sentences.py --run runs/lm --texts LibriSpeech/train-clean-100 \\
        --recogniser runs/librispeech_las --ngrams 6 --word_ngrams 3

Reads a text file with one sentence a line, plain or behind ids as in LibriSpeech's transcripts, or
a folder of such files; without one, sentences of the grammar that the espeak recipe speaks. Trains,
prints the perplexity of held-out sentences, and writes the n-grams to RUN/symbols.arpa and
RUN/words.arpa. Give the recogniser, so that both have the same symbols, and what it will be tested
on as --exclude FILE.
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
from speechseq.corpus.sentences import Sentence, SentenceBatches
from speechseq.inference.lm.ngram import NGramScorer, WordNGramScorer
from speechseq.inference.lm.scorer import RNNScorer, perplexity
from speechseq.models import language_model
from speechseq.models.language_model import LanguageModelConfig, LanguageModelLoss
from speechseq.ranges import Count, Range, Seed, Threads, WidthOrNone
from speechseq.text import arpa, ngrams
from speechseq.text.vocabulary import Vocabulary
from speechseq.training.config import TrainerConfig
from speechseq.training.resume import seed_everything
from speechseq.training.saving import ModelDescription
from speechseq.training.schedule import ExponentialConfig
from speechseq.training.trainer import Trainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Config):
    """Numbers of the texts, the model and its training.

    Attributes:
        texts, exclude: what is learned from, and what is not; "" for sentences of our grammar, of
            which `grammar_sentences` are drawn, and for nothing.
        recogniser: the run whose vocabulary is taken; "" for one of the texts' characters, or of
            so many `pieces`.
        ngrams, word_ngrams: orders of the n-gram models over symbols and over words; 0 for none.
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


def read_texts(settings: Settings) -> tuple[list[Sentence], list[Sentence]]:
    """What is learned from, and what is held out."""
    without = {s.text for s in sentences.read(settings.exclude)} if settings.exclude else set()
    if settings.texts:
        found = [s for s in sentences.read(settings.texts) if s.text not in without]
    else:
        drawn = espeak_sentences.texts(
            settings.grammar_sentences, settings.seed + 100, exclude=without
        )
        found = [Sentence(id=f"grammar-{i}", text=text) for i, text in enumerate(drawn)]
    return sentences.split(found, settings.held_out)


def make_vocabulary(settings: Settings, found: list[Sentence]) -> Vocabulary:
    """The recogniser's, or one of the texts' own pieces or characters."""
    if settings.recogniser:
        return Vocabulary.load(resolve(settings.recogniser) / VOCABULARY)
    if settings.pieces:
        return Vocabulary.train_pieces((s.text for s in found), settings.pieces)
    return Vocabulary.transcripts(sorted(set("".join(s.text for s in found))))


def main(settings: Settings, run: Path) -> None:
    """Texts, training, n-grams, perplexities."""
    torch.set_num_threads(settings.threads)
    train, dev = read_texts(settings)
    vocabulary = make_vocabulary(settings, [*train, *dev])
    batches, held_out = (
        SentenceBatches(
            texts, vocabulary, tokens_per_batch=settings.tokens_per_batch, seed=settings.seed
        )
        for texts in (train, dev)
    )
    seed_everything(settings.seed)
    model = settings.model.build(symbols=len(vocabulary))
    summary = Trainer(
        model,
        LanguageModelLoss(),
        batches,
        settings.trainer,
        run=run,
        about=ModelDescription(model=settings.model, audio=None, vocabulary=vocabulary),
        validate=lambda model: {
            "perplexity": language_model.perplexity(model, held_out.one_epoch())
        },
        device=settings.device,
    ).run()

    texts = [sentence.text for sentence in dev]
    scorers = {"LSTM": RNNScorer.load(run, vocabulary)}
    if settings.ngrams:
        units = (vocabulary.units(sentence.text) for sentence in train)
        symbols = ngrams.estimate(units, settings.ngrams, words=vocabulary.symbols, unknown=False)
        arpa.write(run / "symbols.arpa", symbols)
        scorers["n-grams of symbols"] = NGramScorer.load(run / "symbols.arpa", vocabulary)
    if settings.word_ngrams:
        words = ngrams.estimate((s.text.split() for s in train), settings.word_ngrams)
        arpa.write(run / "words.arpa", words)
        scorers["n-grams of words"] = WordNGramScorer.load(run / "words.arpa", vocabulary)
    print(f"{summary.checkpoint}: {summary.updates} updates, {summary.seconds:.0f} s")
    print(f"perplexity a symbol, of {len(dev)} held-out sentences:")
    for name, scorer in scorers.items():
        print(f"  {name:20} {perplexity(scorer, vocabulary, texts):.3f}")


if __name__ == "__main__":
    sys.exit(run_recipe(main, Settings))
