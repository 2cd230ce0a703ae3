"""Word and character error rates of transcripts, over a corpus, by speaker and by length.

The error rate of a corpus is the number of all errors divided by the number of all reference words.
The mean of the utterances' rates, in which short utterances dominate, is not computed here.
"""

import dataclasses
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

from speechseq.errors import DataError
from speechseq.inference.wer import bootstrap
from speechseq.inference.wer.edits import (
    Counts,
    Edit,
    character_counts,
    plain,
    total,
    word_counts,
    word_edits,
)

Unit = Literal["words", "characters"]
_LENGTHS = (0, 1, 6, 11, 16, 21, 31, 51)  # bins begin here, unless every text is short
_SHORT = 10  # words; where no text has more, each length is a bin of its own


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoredUtterance:
    """Utterance with its reference, its hypothesis and the errors of the hypothesis.

    Attributes:
        id, speaker: names of utterance and speaker; "" for an unknown speaker.
        ref: true transcript.
        hyp: recognised transcript.
        edits: correct, substituted, deleted and inserted words, in order.
        characters: numbers of correct and wrong characters.
    """

    id: str
    ref: str
    hyp: str
    edits: tuple[Edit, ...]
    characters: Counts
    speaker: str = ""

    @cached_property
    def words(self) -> Counts:
        """Numbers of correct, substituted, deleted and inserted words."""
        return word_counts(self.edits)

    @property
    def right(self) -> bool:
        """Return True if the hypothesis equals the reference, word for word."""
        return self.ref == self.hyp


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """Numbers of errors of a group of utterances, such as those of one speaker.

    Attributes:
        name: name of the group.
        utterances: number of utterances.
        wrong: number of utterances that have an error.
        words: numbers of correct and wrong words.
        characters: numbers of correct and wrong characters.
    """

    name: str
    utterances: int
    wrong: int
    words: Counts
    characters: Counts

    @property
    def sentence_error_rate(self) -> float:
        """Share of the group's utterances that have an error; 0 for no utterances."""
        return self.wrong / self.utterances if self.utterances else 0.0


class Confusion(NamedTuple):
    """A frequent error: reference word, the word recognised instead, and how often.

    `ref` is "" for an inserted word, `hyp` is "" for a deleted one.
    """

    ref: str
    hyp: str
    times: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """Word and character error rates of a set of utterances; the function `score` makes it.

    Attributes:
        rows: the scored utterances, in the order of the input.
    """

    rows: tuple[ScoredUtterance, ...]

    @cached_property
    def total(self) -> Group:
        """Counts of words, characters and wrong sentences of all utterances, as one `Group`."""
        return _group("all", self.rows)

    @property
    def words(self) -> Counts:
        """Counts of correct and wrong words of all utterances."""
        return self.total.words

    @property
    def characters(self) -> Counts:
        """Counts of correct and wrong characters of all utterances."""
        return self.total.characters

    @property
    def wer(self) -> float:
        """Word error rate: all errors divided by all reference words."""
        return self.words.rate

    @property
    def cer(self) -> float:
        """Character error rate, in which a space counts as a character."""
        return self.characters.rate

    @property
    def sentence_error_rate(self) -> float:
        """Share of the utterances that have an error."""
        return self.total.sentence_error_rate

    @cached_property
    def by_speaker(self) -> tuple[Group, ...]:
        """Groups of the utterances of each speaker, in the order of the speakers' names."""
        return _grouped([(row.speaker, row) for row in self.rows])

    @cached_property
    def by_length(self) -> tuple[Group, ...]:
        """Groups of utterances by ranges of reference lengths in words, the shortest first."""
        lengths = [row.words.ref for row in self.rows]
        short = max(lengths, default=0) <= _SHORT
        starts = range(_SHORT + 2) if short else _LENGTHS
        bins = [bisect_right(starts, length) - 1 for length in lengths]
        groups = _grouped(list(zip(bins, self.rows, strict=True)))
        names = [_range(starts, index) for index in sorted(set(bins))]
        return tuple(
            dataclasses.replace(group, name=name) for group, name in zip(groups, names, strict=True)
        )

    def interval(
        self, unit: Unit = "words", *, level: float = 0.95, seed: int = 0
    ) -> bootstrap.Interval | None:
        """Confidence interval of the error rate by bootstrap; None if all references are empty.

        Args:
            unit: unit of the error rate, "words" or "characters".
            level: probability of the interval.
            seed: seed of the resampling.
        """
        return bootstrap.interval(
            _errors(self, unit), _ref_sizes(self, unit), level=level, seed=seed
        )

    def confusions(self, most: int = 10) -> tuple[Confusion, ...]:
        """Return the most frequent word errors, at most `most` of them, the most frequent first.

        Errors are substitutions, insertions and deletions.
        """
        found = Counter(pair for row in self.rows for pair in _confused(row.edits))
        ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
        return tuple(Confusion(*pair, times) for pair, times in ranked[:most])


def score(
    pairs: Sequence[tuple[str, str]],
    *,
    ids: Sequence[str] | None = None,
    speakers: Sequence[str] | None = None,
) -> Score:
    """Compute word and character error rates of hypotheses against references.

    Words are separated by white space and compared as written. Either text may be empty.

    Args:
        pairs: (reference, hypothesis) of each utterance.
        ids: name of each utterance; None numbers them from 1.
        speakers: speaker of each utterance, "" where unknown; None if all are unknown.

    Raises:
        DataError: the number of ids or speakers is not that of the pairs.

    Examples:
        >>> found = score([("one two three", "one too three"), ("four", "four")])
        >>> found.wer, found.sentence_error_rate
        (0.25, 0.5)
        >>> found.confusions()
        (Confusion(ref='two', hyp='too', times=1),)
    """
    names = _as_many(pairs, ids, "ids") or [str(number) for number in range(1, len(pairs) + 1)]
    voices = _as_many(pairs, speakers, "speakers") or [""] * len(pairs)
    ref = [plain(text) for text, _ in pairs]
    hyp = [plain(text) for _, text in pairs]
    columns = zip(
        names,
        ref,
        hyp,
        word_edits(ref, hyp),
        character_counts(ref, hyp),
        voices,
        strict=True,
    )
    return Score(
        rows=tuple(
            ScoredUtterance(
                id=name, ref=a, hyp=h, edits=edits, characters=characters, speaker=speaker
            )
            for name, a, h, edits, characters, speaker in columns
        )
    )


def compare_systems(
    first: Score, second: Score, unit: Unit = "words", *, level: float = 0.95, seed: int = 0
) -> bootstrap.Comparison:
    """Compare the error rates of two systems on the same utterances, by bootstrap.

    Args:
        first: score of the first system.
        second: score of the second system.
        unit: unit of the error rates, "words" or "characters".
        level: probability of the confidence interval.
        seed: seed of the resampling.

    Returns:
        The difference of the error rates with its confidence interval and p-value.

    Raises:
        DataError: the two scores do not have the same references in the same order.
    """
    for one, other in zip(first.rows, second.rows, strict=False):
        if (one.id, one.ref) != (other.id, other.ref):
            raise DataError(
                f"the systems have different references: {one.id!r} {one.ref!r} "
                f"and {other.id!r} {other.ref!r}",
                "score both on the same utterances in the same order",
            )
    errors = _errors(first, unit), _errors(second, unit)
    return bootstrap.compare(*errors, _ref_sizes(first, unit), level=level, seed=seed)


def _as_many(pairs: Sequence[object], names: Sequence[str] | None, what: str) -> list[str]:
    if names is not None and len(names) != len(pairs):
        raise DataError(f"{len(names)} {what} for {len(pairs)} pairs", "give one for each pair")
    return list(names or ())


def _errors(score: Score, unit: Unit) -> list[int]:
    return [(row.words if unit == "words" else row.characters).errors for row in score.rows]


def _ref_sizes(score: Score, unit: Unit) -> list[int]:
    return [(row.words if unit == "words" else row.characters).ref for row in score.rows]


def _group(name: str, rows: Sequence[ScoredUtterance]) -> Group:
    return Group(
        name=name,
        utterances=len(rows),
        wrong=sum(not row.right for row in rows),
        words=total(row.words for row in rows),
        characters=total(row.characters for row in rows),
    )


def _grouped(rows: Sequence[tuple[Any, ScoredUtterance]]) -> tuple[Group, ...]:
    members: dict[Any, list[ScoredUtterance]] = {}
    for key, row in rows:
        members.setdefault(key, []).append(row)
    return tuple(_group(str(key), members[key]) for key in sorted(members))


def _range(starts: Sequence[int], index: int) -> str:
    """Name of the bin that begins at `starts[index]`."""
    start, end = starts[index], (*starts, None)[index + 1]
    if end is None:
        return f"{start} and more"
    return str(start) if end == start + 1 else f"{start}–{end - 1}"


def _confused(edits: Sequence[Edit]) -> Iterator[tuple[str, str]]:
    for edit in edits:
        if edit.kind == "equal":
            continue
        ref, hyp = edit.ref.split(), edit.hyp.split()
        most = max(len(ref), len(hyp))
        yield from zip(ref or [""] * most, hyp or [""] * most, strict=True)
