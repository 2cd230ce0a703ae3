"""Estimation of n-gram models from texts, written as ARPA files and loaded as scorers."""

from collections.abc import Sequence
from pathlib import Path

from speechseq.inference.arpa_lm import NGramScorer, WordNGramScorer
from speechseq.text import arpa, ngrams
from speechseq.text.vocabulary import Vocabulary


def estimate_symbols(
    path: Path, texts: Sequence[str], order: int, vocabulary: Vocabulary
) -> NGramScorer:
    """Estimate an n-gram model over the recogniser's symbols, and write it to an ARPA file.

    The symbols are those into which the vocabulary splits the texts, such as characters.

    Args:
        path: ARPA file to write.
        texts: training texts.
        order: maximum number of symbols of an n-gram.
        vocabulary: the recogniser's vocabulary.

    Returns:
        The model, for `WeightedScorer`.

    Raises:
        ConfigError, DataError: see `ngrams.estimate` and `NGramScorer.load`.
        MachineError: the file cannot be written.
    """
    units = (vocabulary.units(text) for text in texts)
    arpa.write(path, ngrams.estimate(units, order, words=vocabulary.symbols, unknown=False))
    return NGramScorer.load(path, vocabulary)


def estimate_words(
    path: Path, texts: Sequence[str], order: int, vocabulary: Vocabulary
) -> WordNGramScorer:
    """Estimate an n-gram model over the words of texts, and write it to an ARPA file.

    Args:
        path: ARPA file to write.
        texts: training texts, whose words are separated by white space.
        order: maximum number of words of an n-gram.
        vocabulary: the recogniser's vocabulary, which spells the words.

    Returns:
        The model, for `WeightedScorer`.

    Raises:
        ConfigError, DataError: see `ngrams.estimate` and `WordNGramScorer.load`.
        MachineError: the file cannot be written.
    """
    arpa.write(path, ngrams.estimate((text.split() for text in texts), order))
    return WordNGramScorer.load(path, vocabulary)
