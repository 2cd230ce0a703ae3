"""ARPA files: back-off n-gram models, as written by SRILM, KenLM and `ngrams.estimate`."""

import dataclasses
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from speechseq.errors import DataError
from speechseq.file_writing import replace_file
from speechseq.text.lines import decoded, numbered

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
SPACE = "<space>"  # a space, in models whose words are characters
_LN10 = math.log(10.0)
_ROUNDED = 1e-4  # tolerance for log-probabilities that rounding put above 0
_ZERO = -99.0  # log10 of probability 0 in an ARPA file; -inf is read as the same
_CURE = "copy the file again, or write it again with the tool that made it"


Ids = tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class NGrams:
    """All n-grams of one order of a back-off model, one per row of the arrays; a part of `Arpa`.

    Attributes:
        ids: (count, order) int64, the words of each n-gram as indices into `Arpa.words`.
        log_probs: (count,) float64, natural logarithm of the probability of the last word after the
            others.
        backoffs: (count,) float64, natural logarithm of the n-gram's back-off weight; 0 for the
            highest order.
    """

    ids: np.ndarray
    log_probs: np.ndarray
    backoffs: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arpa:
    """Back-off n-gram language model, with the content of an ARPA file.

    `read` loads one from a file, and `ngrams.estimate` makes one from texts. `NGramScorer` and
    `WordNGramScorer` score the hypotheses of a recogniser with it.

    Attributes:
        words: the vocabulary; n-grams refer to words by their index in it.
        orders: n-grams of each order: orders[0] are the unigrams, one for each word and in the
            order of `words`.
    """

    words: tuple[str, ...]
    orders: tuple[NGrams, ...]


def read(path: str | os.PathLike[str]) -> Arpa:
    """Read an ARPA file of any order, plain or gzipped.

    <UNK>, <S> and </S> in any case are read as <unk>, <s> and </s>, and a log-probability of -inf
    as probability 0. SRILM may write an n-gram but not its prefix (the n-gram without its last
    word). Such a prefix is added with the probability that back-off gives it, which leaves all
    other probabilities unchanged.

    Raises:
        DataError: the file is missing, truncated or not an ARPA file; the message names file and
            line.
    """
    file = _File(path)
    counts = _counts(file)
    words: dict[bytes, int] = {}
    orders: list[NGrams] = []
    before: set[Ids] = {()}
    lacking: list[set[Ids]] = []
    for order, count in enumerate(counts, start=1):
        file.expect(f"\\{order}-grams:")
        ngrams, present, missing = _section(file, order, count, words, before)
        orders.append(ngrams)
        lacking.append(missing)
        before = present
    file.expect("\\end\\")
    names = _canonical([word.decode() for word in words])
    if END not in names:
        raise DataError(f"{file.path}: has no {END}, so no sentence could end", _CURE)
    orders[-1] = dataclasses.replace(orders[-1], backoffs=np.zeros(len(orders[-1].ids)))
    if any(lacking):
        orders = _with_prefixes(orders, lacking)
    return Arpa(words=tuple(names), orders=tuple(orders))


def write(path: str | os.PathLike[str], arpa: Arpa) -> None:
    """Write an n-gram model, `arpa`, to an ARPA file atomically.

    Raises:
        MachineError: the disk is full or cannot be written.
    """
    replace_file(path, "".join(f"{line}\n" for line in _lines(arpa)).encode())


def _lines(arpa: Arpa) -> Iterator[str]:
    yield "\\data\\"
    for order, ngrams in enumerate(arpa.orders, start=1):
        yield f"ngram {order}={len(ngrams.ids)}"
    for order, ngrams in enumerate(arpa.orders, start=1):
        yield f"\n\\{order}-grams:"
        last = order == len(arpa.orders)
        for ids, log_prob, backoff in zip(
            ngrams.ids, ngrams.log_probs / _LN10, ngrams.backoffs / _LN10, strict=True
        ):
            words = " ".join(arpa.words[i] for i in ids)
            yield f"{log_prob:.9g}\t{words}" + ("" if last else f"\t{backoff:.9g}")
    yield "\n\\end\\"


class _File:
    """Line reader that strips white space and can put one line back."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path, self.number = Path(path), 0
        self._lines = numbered(path)
        self._again = b""

    def line(self) -> bytes:
        """Next non-empty line."""
        if again := self._again:
            self._again = b""
            return again
        for number, line in self._lines:
            self.number = number
            if stripped := line.strip():
                return stripped
        raise DataError(f"{self.path}:{self.number}: ends here: the file was cut", _CURE)

    def put_back(self, line: bytes) -> None:
        """Return this line again from the next call of `line`."""
        self._again = line

    def expect(self, marker: str) -> None:
        line = self.line()
        if line != marker.encode():
            raise self.wrong(f"expected {marker}, got {line[:40]!r}")

    def text(self, line: bytes) -> str:
        return decoded(self.path, self.number, line)

    def wrong(self, problem: str) -> DataError:
        return DataError(f"{self.path}:{self.number}: {problem}", _CURE)


def _counts(file: _File) -> list[int]:
    while file.line() != b"\\data\\":  # some tools write comments before this marker
        if file.number > 1000:
            raise file.wrong("no \\data\\ so far: not an ARPA file")
    counts: list[int] = []
    while not (line := file.line()).startswith(b"\\") or not counts:
        found = re.fullmatch(rb"ngram\s+(\d+)\s*=\s*(\d+)", line)
        if not found or int(found[1]) != len(counts) + 1:
            raise file.wrong(f"expected 'ngram {len(counts) + 1}=COUNT', got {line[:40]!r}")
        counts.append(int(found[2]))
    file.put_back(line)  # the blank line before the sections may be missing
    return counts


def _section(
    file: _File, order: int, count: int, words: dict[bytes, int], before: set[Ids]
) -> tuple[NGrams, set[Ids], set[Ids]]:
    """N-grams of one order, their ids, and their prefixes that are missing in the order below.

    Unigrams assign the word indices.
    """
    seen: dict[Ids, tuple[float, float]] = {}
    missing: set[Ids] = set()
    for place in range(count):
        line = file.line()
        if line.startswith(b"\\"):
            raise file.wrong(f"{count} {order}-grams were promised, here are {place}")
        ids, numbers = _ngram(file, line, order, words)
        if ids in seen:
            raise file.wrong(f"the {order}-gram {file.text(line)!r} stands twice")
        if ids[:-1] not in before:
            missing.add(ids[:-1])
        seen[ids] = numbers
    values = np.array(list(seen.values()), dtype=np.float64).reshape(-1, 2) * _LN10
    ngrams = NGrams(
        ids=np.array(list(seen), dtype=np.int64).reshape(-1, order),
        log_probs=np.minimum(values[:, 0], 0.0),
        backoffs=values[:, 1],
    )
    return ngrams, set(seen), missing


def _ngram(
    file: _File, line: bytes, order: int, words: dict[bytes, int]
) -> tuple[Ids, tuple[float, float]]:
    fields = line.split()
    if not order + 1 <= len(fields) <= order + 2:
        raise file.wrong(f"expected a number, {order} words and maybe a number: {line[:60]!r}")
    try:
        numbers = float(fields[0]), float(fields[order + 1]) if len(fields) > order + 1 else 0.0
    except ValueError:
        raise file.wrong(f"no number where one should be: {line[:60]!r}") from None
    if not (numbers[0] <= _ROUNDED and numbers[1] < math.inf):  # false for NaN too
        raise file.wrong(f"no logarithm of a probability: {line[:60]!r}")
    numbers = max(numbers[0], _ZERO), max(numbers[1], _ZERO)
    names = fields[1 : order + 1]
    if order == 1 and names[0] not in words:
        file.text(names[0])  # raises DataError with the line number unless it is UTF-8
        words[names[0]] = len(words)
    try:
        return tuple([words[name] for name in names]), numbers
    except KeyError as missing:
        name = file.text(missing.args[0])
        raise file.wrong(f"{name!r} is no unigram of this file") from None


def _canonical(names: list[str]) -> list[str]:
    """The words, with <s>, </s> and <unk> in lower case unless the lower case is there already."""
    for mark in (BEGIN, END, UNKNOWN):
        if mark not in names:
            place = next((i for i, name in enumerate(names) if name.lower() == mark), None)
            if place is not None:
                names[place] = mark
    return names


def _with_prefixes(orders: list[NGrams], lacking: list[set[Ids]]) -> list[NGrams]:
    """Add the missing prefixes to the orders, each with its back-off probability.

    Args:
        lacking: for each order, the prefixes of its n-grams that are missing in the order below.
    """
    known = [
        dict(
            zip(map(tuple, n.ids.tolist()), zip(n.log_probs, n.backoffs, strict=True), strict=True)
        )
        for n in orders
    ]
    for index in range(len(orders) - 2, 0, -1):  # an added prefix may itself have a missing prefix
        for ids in lacking[index + 1]:
            known[index][ids] = _by_backoff(known, ids), 0.0
            if ids[:-1] not in known[index - 1]:
                lacking[index].add(ids[:-1])
    return [
        NGrams(
            ids=np.array(list(ngrams), dtype=np.int64).reshape(-1, order),
            log_probs=np.array([log_prob for log_prob, _ in ngrams.values()]),
            backoffs=np.array([backoff for _, backoff in ngrams.values()]),
        )
        for order, ngrams in enumerate(known, start=1)
    ]


def _by_backoff(known: list[dict[Ids, tuple[float, float]]], ids: Ids) -> float:
    """Log-probability of the last word of an n-gram given the words before it."""
    found = known[len(ids) - 1].get(ids)
    if found:
        return found[0]
    _, backoff = known[len(ids) - 2].get(ids[:-1], (0.0, 0.0))
    return backoff + _by_backoff(known, ids[1:])
