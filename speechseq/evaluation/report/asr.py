"""Report section of a recogniser: error rates, transcripts with errors marked, alignments."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from jaxtyping import Float
from torch import Tensor

from speechseq.evaluation.report.page import (
    Figure,
    Picture,
    curves_html,
    figures_html,
    pictures_html,
    settings_html,
)
from speechseq.evaluation.report.player import MARKS, Take, form_of, take_html
from speechseq.inference.score import Group, Score
from speechseq.inference.wer.edits import Edit

_SURE = 0.9  # a mean confidence of an utterance's words below this asks for a look


@dataclasses.dataclass(frozen=True, kw_only=True)
class TranscribedUtterance:
    """Utterance that a report about a recogniser shows; an item of `ASRSection.utterances`.

    Attributes:
        id: name of the utterance.
        ref: reference text.
        waveform: (samples,) in [-1, 1].
        sample_rate: samples per second of the waveform.
        edits: edits from the reference to the transcript.
        confidence: mean confidence of the words, in [0, 1]; None if the transcript is empty.
        picture: picture of the alignment; None for none.
    """

    id: str
    ref: str
    waveform: Float[Tensor, " samples"]
    sample_rate: int
    edits: tuple[Edit, ...]
    confidence: float | None = None
    picture: Picture | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ASRSection:
    """Section of an HTML report: a recogniser on one test set; an item of `Report.sections`.

    Attributes:
        score: error rates on the whole test set, also if `utterances` has only a part of it.
        title: headline of the section.
        summary: sentence below the headline.
        figures: further headline figures.
        utterances: utterances that the table shows.
        curves: pictures of training curves.
        settings: nested plain data, the result of `Config.to_dict`.
    """

    score: Score
    title: str = ""
    summary: str = ""
    figures: tuple[Figure, ...] = ()
    utterances: tuple[TranscribedUtterance, ...] = ()
    curves: tuple[Picture, ...] = ()
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def html(self) -> Iterator[str]:
        """Iterate over the section's lines of HTML; all texts in them are escaped."""
        if self.title:
            yield f'<h1 class="part">{escape(self.title)}</h1>'
        if self.summary:
            yield f'<p class="soft">{escape(self.summary)}</p>'
        yield from figures_html((*_figures(self.score), *self.figures))
        yield from _table(self)
        yield from _tables(self.score)
        yield from curves_html(self.curves)
        yield from _pictures(self.utterances)
        yield from settings_html(self.settings)


def _figures(score: Score) -> list[Figure]:
    within, words = score.interval(), f"{score.words.ref:,} words"
    note = f"{100 * within.low:.1f} to {100 * within.high:.1f} % at 95 %, " if within else ""
    right = len(score.rows) - score.total.wrong
    return [
        Figure(label="word error rate", value=f"{score.wer:.1%}", note=note + words),
        Figure(label="character error rate", value=f"{score.cer:.1%}"),
        Figure(
            label="utterances without error",
            value=f"{right:,} of {len(score.rows):,}",
            good=right == len(score.rows) or None,
        ),
    ]


def _table(section: ASRSection) -> Iterator[str]:
    """Table of references, sounds and transcripts."""
    rows = section.utterances
    if not rows:
        return
    shown = "" if len(rows) == len(section.score.rows) else f"The first {len(rows)} utterances. "
    yield "<h2>Said and written down</h2>"
    yield f'<p class="soft">{shown}Under each player stands what was written down. {MARKS}</p>'
    heads = {"number": "", "ref": "Said", "take": "Written down", "ended": "Confidence"}
    cells = "".join(f'<th scope="col" class="{kind}">{head}</th>' for kind, head in heads.items())
    yield f'<table class="spoken"><thead><tr>{cells}</tr></thead><tbody>'
    takes = [Take(waveform=r.waveform, sample_rate=r.sample_rate, edits=r.edits) for r in rows]
    form = form_of(takes)
    for number, (row, take) in enumerate(zip(rows, takes, strict=True), 1):
        yield (
            f'<tr><td class="number">{number}</td>'
            f'<td class="ref" title="{escape(row.id)}">{escape(row.ref)}</td>'
            f'<td data-label="Written down">{take_html(take, row.id, form)}</td>'
            f'<td class="ended" data-label="Confidence">{_chip(row.confidence)}</td></tr>'
        )
    yield "</tbody></table>"


def _chip(confidence: float | None) -> str:
    if confidence is None:
        return "–"
    late = "" if round(confidence, 2) >= _SURE else " late"
    return f'<span class="chip{late}">{confidence:.0%}</span>'


def _tables(score: Score) -> Iterator[str]:
    """Tables of errors by speaker, by length and by word."""
    speakers = [group for group in score.by_speaker if group.name]
    yield '<div class="tables">'
    if len(speakers) > 1:
        yield from _groups("By speaker", "Speaker", speakers)
    if len(score.by_length) > 1:
        yield from _groups("By length", "Words said", score.by_length)
    if confusions := score.confusions():
        rows = [(c.ref or "–", c.hyp or "–", str(c.times)) for c in confusions]
        yield from _counts("Most frequent errors", ("Said", "Written down", "Times"), rows, texts=2)
    yield "</div>"


def _groups(title: str, first: str, groups: Sequence[Group]) -> Iterator[str]:
    rows = [
        (
            group.name,
            f"{group.utterances:,}",
            f"{group.words.ref:,}",
            f"{group.words.rate:.1%}",
            f"{group.characters.rate:.1%}",
        )
        for group in groups
    ]
    yield from _counts(title, (first, "Utterances", "Words", "WER", "CER"), rows)


def _counts(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1
) -> Iterator[str]:
    """A table of numbers, whose first `texts` columns are words."""
    kinds = [' class="word"'] * texts + [""] * (len(heads) - texts)
    head = "".join(f'<th scope="col"{k}>{h}</th>' for k, h in zip(kinds, heads, strict=True))
    yield f'<div><h2>{title}</h2><table class="counts"><thead><tr>{head}</tr></thead><tbody>'
    for row in rows:
        cells = (f"<td{k}>{escape(cell)}</td>" for k, cell in zip(kinds, row, strict=True))
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"


def _pictures(utterances: tuple[TranscribedUtterance, ...]) -> Iterator[str]:
    drawn = [row.picture for row in utterances if row.picture]
    if not drawn:
        return
    yield "<h2>Where it listened</h2>"
    yield (
        '<p class="soft">Time runs to the right, what was written runs upwards. A recogniser that '
        "listens well draws one line that climbs from the lower left to the upper right: each "
        "symbol is written from one place in the sound, and silence is left out.</p>"
    )
    yield from pictures_html(drawn)
