"""Word and character edits: minimal edit sequences between references and hypotheses."""

import dataclasses
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Edit(NamedTuple):
    """Consecutive words of a reference and a hypothesis that agree, or differ in one way.

    Attributes:
        kind: "equal", "substitute", "delete" or "insert".
        ref: words of the reference, separated by spaces; "" for an insertion.
        hyp: words of the hypothesis, separated by spaces; "" for a deletion.
    """

    kind: str  # "equal", "substitute", "delete" or "insert"
    ref: str
    hyp: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counts:
    """Numbers of correct and wrong units of one text or more, all words or all characters.

    Attributes:
        correct: units that agree with the reference.
        substitutions: units recognised as others.
        deletions: units of the reference that are missing.
        insertions: units that the reference does not have.
    """

    correct: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def ref(self) -> int:
        """Number of units (words or characters) of the reference."""
        return self.correct + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        """Number of errors: substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Error rate: errors per unit of the reference; for an empty reference, 0 or infinity."""
        if self.ref:
            return self.errors / self.ref
        return math.inf if self.errors else 0.0


def total(counts: Iterable[Counts]) -> Counts:
    """Sum up the counts of several utterances; the rate of the sum is the corpus's error rate."""
    kept = list(counts)
    return Counts(
        correct=sum(c.correct for c in kept),
        substitutions=sum(c.substitutions for c in kept),
        deletions=sum(c.deletions for c in kept),
        insertions=sum(c.insertions for c in kept),
    )


def plain(text: str) -> str:
    """Normalise white space and accents: words separated by one space, in Unicode's form NFC."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def word_edits(ref: Sequence[str], hyp: Sequence[str]) -> list[tuple[Edit, ...]]:
    """Align the words of each reference and hypothesis with the fewest edits.

    Adjacent edits of one kind are merged.

    Args:
        ref: references, results of `plain`.
        hyp: hypotheses, results of `plain`, in the same order.

    Returns:
        The edits of each pair, in order.
    """
    import jiwer

    if not ref:
        return []  # jiwer would return one empty utterance for an empty list
    output = jiwer.process_words(list(ref), list(hyp))
    return [
        tuple(
            Edit(
                chunk.type,
                " ".join(a[chunk.ref_start_idx : chunk.ref_end_idx]),
                " ".join(h[chunk.hyp_start_idx : chunk.hyp_end_idx]),
            )
            for chunk in chunks
        )
        for a, h, chunks in zip(
            output.references, output.hypotheses, output.alignments, strict=True
        )
    ]


def word_counts(edits: Iterable[Edit]) -> Counts:
    """Count correct and wrong words in the edits of one utterance."""
    sizes: dict[str, int] = {}
    for edit in edits:
        words = len((edit.ref or edit.hyp).split(" "))
        sizes[edit.kind] = sizes.get(edit.kind, 0) + words
    return _counts(sizes)


def character_counts(ref: Sequence[str], hyp: Sequence[str]) -> list[Counts]:
    """Count correct and wrong characters of each reference and hypothesis; a space is a character.

    Args:
        ref: references, results of `plain`.
        hyp: hypotheses, results of `plain`, in the same order.
    """
    import jiwer

    if not ref:
        return []
    found = []
    for chunks in jiwer.process_characters(list(ref), list(hyp)).alignments:
        sizes: dict[str, int] = {}
        for chunk in chunks:
            characters = max(
                chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx
            )
            sizes[chunk.type] = sizes.get(chunk.type, 0) + characters
        found.append(_counts(sizes))
    return found


def _counts(sizes: Mapping[str, int]) -> Counts:
    return Counts(
        correct=sizes.get("equal", 0),
        substitutions=sizes.get("substitute", 0),
        deletions=sizes.get("delete", 0),
        insertions=sizes.get("insert", 0),
    )
