"""N-gram estimation: back-off models with interpolated Witten-Bell smoothing (1991)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from speechseq.errors import ConfigError, DataError
from speechseq.text.arpa import BEGIN, END, SPACE, UNKNOWN, Arpa, NGrams

_LN_ZERO = -99 * np.log(10.0)  # log-probability of <s> in an ARPA file, for probability 0

Ids = tuple[int, ...]


def estimate(
    sentences: Iterable[Sequence[str]],
    order: int,
    *,
    words: Iterable[str] = (),
    unknown: bool = True,
) -> Arpa:
    """Estimate a back-off n-gram model with interpolated Witten-Bell smoothing.

    p(w | h) = (count(h w) + kinds(h) p(w | h')) / (count(h) + kinds(h)), where kinds(h) is the
    number of distinct words after the history h, and h' is h without its first word. The empty
    history backs off to a uniform distribution. The units may be words or characters; the space as
    a character becomes the word <space>.

    Args:
        sentences: each is a sequence of words, or a string for a model of characters.
        order: largest number of words in an n-gram.
        words: further words of the vocabulary, which need not occur in the sentences.
        unknown: add <unk>, so that unknown words have a probability too.

    Returns:
        The model; `arpa.write` saves it.

    Raises:
        ConfigError: the order is below 1.
        DataError: there are no sentences, or an ARPA file cannot hold a word.

    Source: Witten and Bell 1991.
    """
    if order < 1:
        raise ConfigError(f"order: {order} is below 1")
    places: dict[str, int] = {word: i for i, word in enumerate((BEGIN, END))}
    counts = _count(sentences, order, places)
    if not counts[1]:
        raise DataError("there are no sentences to count")
    for word in (*map(_written, words), *([UNKNOWN] if unknown else [])):
        places.setdefault(word, len(places))
    return Arpa(words=tuple(places), orders=_smoothed(counts, order, len(places)))


def _count(
    sentences: Iterable[Sequence[str]], order: int, places: dict[str, int]
) -> list[Counter[Ids]]:
    """Count the n-grams of each order; none ends with <s>."""
    counts: list[Counter[Ids]] = [Counter() for _ in range(order + 1)]
    for sentence in sentences:
        inner = [places.setdefault(_written(word), len(places)) for word in sentence]
        ids = (places[BEGIN], *inner, places[END])
        for last in range(1, len(ids)):
            for length in range(1, min(order, last + 1) + 1):
                counts[length][ids[last + 1 - length : last + 1]] += 1
    return counts


def _smoothed(counts: list[Counter[Ids]], order: int, words: int) -> tuple[NGrams, ...]:
    total: defaultdict[Ids, int] = defaultdict(int)
    kinds: defaultdict[Ids, int] = defaultdict(int)
    for ngram, count in (item for counter in counts for item in counter.items()):
        total[ngram[:-1]] += count
        kinds[ngram[:-1]] += 1
    begin = (0,)  # <s> has no probability, only a back-off
    same = kinds[()] / (total[()] + kinds[()]) / (words - 1)
    probs: dict[Ids, float] = {(word,): same for word in range(1, words)}
    for ngram, count in counts[1].items():
        probs[ngram] += count / (total[()] + kinds[()])
    orders = [_ngrams({begin: 0.0, **probs}, 1, total, kinds)]
    for length in range(2, order + 1):
        shorter, probs = probs, {}
        for ngram, count in counts[length].items():
            history = ngram[:-1]
            share = kinds[history] * shorter[ngram[1:]]
            probs[ngram] = (count + share) / (total[history] + kinds[history])
        orders.append(_ngrams(probs, length, total, kinds))
    return tuple(orders)


def _ngrams(
    probs: dict[Ids, float], length: int, total: dict[Ids, int], kinds: dict[Ids, int]
) -> NGrams:
    ordered = sorted(probs)
    values = np.array([probs[ngram] for ngram in ordered])
    held = [(kinds.get(ngram, 0), total.get(ngram, 0)) for ngram in ordered]
    backoffs = [np.log(k / (n + k)) if k else 0.0 for k, n in held]
    with np.errstate(divide="ignore"):
        log_probs = np.maximum(np.log(values), _LN_ZERO)
    return NGrams(
        ids=np.array(ordered, dtype=np.int64).reshape(-1, length),
        log_probs=log_probs,
        backoffs=np.array(backoffs),
    )


def _written(word: str) -> str:
    if word == " ":
        return SPACE
    if word in (BEGIN, END) or word.split() != [word]:
        raise DataError(f"{word!r} cannot be a word of an ARPA file", "take it out of the texts")
    return word
