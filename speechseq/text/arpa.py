"""ARPA files: n-gram models with back-off, as SRILM, KenLM and our own estimator write them."""

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
SPACE = "<space>"  # stands for the space where the words of a model are characters
_LN10 = math.log(10.0)
_ROUNDED = 1e-4  # how far above 0 a rounded logarithm may come
_CURE = "copy the file again, or write it again with the tool that made it"


@dataclasses.dataclass(frozen=True, kw_only=True)
class NGrams:
    """The n-grams of one order.

    ids (count, order) int64 are places in `Arpa.words`; log_probs (count) and backoffs (count) are
    natural logarithms, float64. Those of the highest order have backoffs 0.
    """

    ids: np.ndarray
    log_probs: np.ndarray
    backoffs: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arpa:
    """An n-gram model: word i is the i-th unigram; `orders` begins with the unigrams."""

    words: tuple[str, ...]
    orders: tuple[NGrams, ...]


def read(path: str | os.PathLike[str]) -> Arpa:
    """Read an ARPA file of any order, gzipped or not.

    Raises:
        DataError: it is missing, cut, or not such a file; file and line are named.
    """
    file = _File(path)
    counts = _counts(file)
    words: dict[bytes, int] = {}
    orders: list[NGrams] = []
    before: set[tuple[int, ...]] = {()}
    for order, count in enumerate(counts, start=1):
        file.expect(f"\\{order}-grams:")
        ngrams, before = _section(file, order, count, words, before)
        orders.append(ngrams)
    file.expect("\\end\\")
    if END.encode() not in words:
        raise DataError(f"{file.path}: has no {END}, so no sentence could end", _CURE)
    return Arpa(words=tuple(word.decode() for word in words), orders=tuple(orders))


def write(path: str | os.PathLike[str], arpa: Arpa) -> None:
    """Write an ARPA file, whole or not at all.

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
    """The lines of the file, one after the other, white space around them taken off."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path, self.number = Path(path), 0
        self._lines = numbered(path)

    def raw(self) -> bytes | None:
        """The next line; None at the end."""
        self.number, line = next(self._lines, (self.number, None))
        return None if line is None else line.strip()

    def line(self) -> bytes:
        """The next line that is not empty."""
        while (line := self.raw()) is not None:
            if line:
                return line
        raise DataError(f"{self.path}:{self.number}: ends here: the file was cut", _CURE)

    def expect(self, marker: str) -> None:
        line = self.line()
        if line != marker.encode():
            raise self.wrong(f"expected {marker}, got {line[:40]!r}")

    def text(self, line: bytes) -> str:
        return decoded(self.path, self.number, line)

    def wrong(self, problem: str) -> DataError:
        return DataError(f"{self.path}:{self.number}: {problem}", _CURE)


def _counts(file: _File) -> list[int]:
    while file.line() != b"\\data\\":  # some tools write comments before it
        if file.number > 1000:
            raise file.wrong("no \\data\\ so far: not an ARPA file")
    counts: list[int] = []
    line: bytes | None = file.line()
    while line:
        found = re.fullmatch(rb"ngram\s+(\d+)\s*=\s*(\d+)", line)
        if not found or int(found[1]) != len(counts) + 1:
            raise file.wrong(f"expected 'ngram {len(counts) + 1}=COUNT', got {line[:40]!r}")
        counts.append(int(found[2]))
        line = file.raw()
    return counts


def _section(
    file: _File, order: int, count: int, words: dict[bytes, int], before: set[tuple[int, ...]]
) -> tuple[NGrams, set[tuple[int, ...]]]:
    """The n-grams of one order; unigrams give the words their places."""
    seen: dict[tuple[int, ...], tuple[float, float]] = {}
    for place in range(count):
        line = file.line()
        if line.startswith(b"\\"):
            raise file.wrong(f"{count} {order}-grams were promised, here are {place}")
        ids, numbers = _ngram(file, line, order, words)
        if ids in seen:
            raise file.wrong(f"the {order}-gram {file.text(line)!r} stands twice")
        if ids[:-1] not in before:
            raise file.wrong(f"the first {order - 1} words of {file.text(line)!r} are no n-gram")
        seen[ids] = numbers
    values = np.array(list(seen.values()), dtype=np.float64).reshape(-1, 2) * _LN10
    ngrams = NGrams(
        ids=np.array(list(seen), dtype=np.int64).reshape(-1, order),
        log_probs=np.minimum(values[:, 0], 0.0),
        backoffs=values[:, 1],
    )
    return ngrams, set(seen)


def _ngram(
    file: _File, line: bytes, order: int, words: dict[bytes, int]
) -> tuple[tuple[int, ...], tuple[float, float]]:
    fields = line.split()
    if not order + 1 <= len(fields) <= order + 2:
        raise file.wrong(f"expected a number, {order} words and maybe a number: {line[:60]!r}")
    try:
        numbers = float(fields[0]), float(fields[order + 1]) if len(fields) > order + 1 else 0.0
    except ValueError:
        raise file.wrong(f"no number where one should be: {line[:60]!r}") from None
    if not (math.isfinite(numbers[0]) and math.isfinite(numbers[1])) or numbers[0] > _ROUNDED:
        raise file.wrong(f"no logarithm of a probability: {line[:60]!r}")
    names = fields[1 : order + 1]
    if order == 1 and names[0] not in words:
        file.text(names[0])  # or it is refused here, with its line
        words[names[0]] = len(words)
    try:
        return tuple([words[name] for name in names]), numbers
    except KeyError as missing:
        name = file.text(missing.args[0])
        raise file.wrong(f"{name!r} is no unigram of this file") from None
