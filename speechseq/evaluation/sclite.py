"""Score as text in the layout of NIST's sclite: aligned lines, and a table by speaker.

The alignment has the fewest errors. sclite itself weighs a substitution as 4 and a deletion or
insertion as 3, so it may classify the same errors differently.
"""

from collections.abc import Iterator, Sequence

from speechseq.inference.score import Group, Score, ScoredUtterance
from speechseq.inference.wer.edits import Edit

_MARKS = {"equal": "", "substitute": "S", "delete": "D", "insert": "I"}
_HEADS = ("Corr", "Sub", "Del", "Ins", "Err", "S.Err")


def report(score: Score, title: str) -> str:
    """Format a score as text, in the style of NIST's tool sclite.

    The alignment of every utterance comes first, then the table of errors by speaker.

    Args:
        score: error rates of a set of utterances.
        title: headline of the table.
    """
    return "\n\n".join([*map(aligned, score.rows), table(score, title)]) + "\n"


def aligned(row: ScoredUtterance) -> str:
    """Format the alignment of one utterance: the reference above the hypothesis, word by word.

    Its id and its counts of errors come first. *** marks a missing word, and a last line marks the
    errors.
    """
    columns = [column for edit in row.edits for column in _columns(edit)]
    widths = [max(map(len, column)) for column in columns]
    counts = row.words
    lines = [
        f"id: ({row.id})",
        f"Scores: (#C #S #D #I) {counts.correct} {counts.substitutions} "
        f"{counts.deletions} {counts.insertions}",
    ]
    for place, head in enumerate(("REF: ", "HYP: ", "Eval:")):
        cells = [column[place].ljust(w) for column, w in zip(columns, widths, strict=True)]
        lines.append(" ".join([head, *cells]).rstrip())
    return "\n".join(lines)


def table(score: Score, title: str) -> str:
    """Format a table of correct words and errors in percent, by speaker and for all utterances.

    Args:
        score: error rates of a set of utterances.
        title: headline of the table; a speaker whose name is "" is shown as "-".
    """
    groups = [(group.name or "-", group) for group in score.by_speaker]
    width = max(len(name) for name in ("Sum/Avg", *(name for name, _ in groups)))
    heads = f"| {'SPKR':<{width}} | # Snt # Wrd |{_cells(_HEADS)} |"
    inner = len(heads) - 2
    title = title if len(title) <= inner else f"…{title[1 - inner :]}"
    return "\n".join(
        [
            f",{'-' * inner}.",
            f"|{title:^{inner}}|",
            f"|{'-' * inner}|",
            heads,
            f"|{'-' * (width + 2)}+{'-' * 13}+{'-' * (inner - width - 17)}|",
            *(_row(name, group, width) for name, group in groups),
            f"|{'=' * inner}|",
            _row("Sum/Avg", score.total, width),
            f"`{'-' * inner}'",
        ]
    )


def _row(name: str, group: Group, width: int) -> str:
    counts = group.words
    parts = (counts.correct, counts.substitutions, counts.deletions, counts.insertions)
    shares = [part / counts.ref if counts.ref else 0.0 for part in parts]
    shares += [counts.rate, group.sentence_error_rate]
    cells = _cells([f"{100 * share:.1f}" for share in shares])
    return f"| {name:<{width}} | {group.utterances:5d} {counts.ref:5d} |{cells} |"


def _cells(texts: Sequence[str]) -> str:
    return " ".join(f"{text:>6}" for text in texts)


def _columns(edit: Edit) -> Iterator[tuple[str, str, str]]:
    """(ref, hyp, mark) of each word of an edit; a missing word is stars, as many as letters."""
    ref, hyp = edit.ref.split(), edit.hyp.split()
    ref = ref or ["*" * max(3, len(word)) for word in hyp]
    hyp = hyp or ["*" * max(3, len(word)) for word in ref]
    for one, other in zip(ref, hyp, strict=True):
        yield one, other, _MARKS[edit.kind]
