"""Report section of a synthesiser: texts, speech, transcripts of the speech, alignments."""

import dataclasses
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from speechseq.evaluation.report.page import (
    Figure,
    Picture,
    curves_html,
    figures_html,
    galleries_html,
    settings_html,
)
from speechseq.evaluation.report.player import MARKS, Take, form_of, take_html


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spoken:
    """Text with its speech, shown in a report about a synthesiser; an item of `TTSSection.spoken`.

    Attributes:
        ref: the text.
        ours: synthesised speech.
        original: recording of the text; None for none.
        finished_reason: why the synthesis ended: "stop", "attention_end" or "limit".
        pictures: pictures to show, such as the alignment.
    """

    ref: str
    ours: Take
    original: Take | None = None
    finished_reason: str = ""
    pictures: tuple[Picture, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class TTSSection:
    """Section of an HTML report: a synthesiser on some texts; an item of `Report.sections`.

    Attributes:
        figures: headline figures.
        spoken: texts with their speech.
        curves: pictures of training curves.
        settings: nested plain data, the result of `Config.to_dict`.
        original_name: heading of the column of recordings.
    """

    figures: tuple[Figure, ...] = ()
    spoken: tuple[Spoken, ...] = ()
    curves: tuple[Picture, ...] = ()
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    original_name: str = "Original"

    def html(self) -> Iterator[str]:
        """Iterate over the section's lines of HTML; all texts in them are escaped."""
        yield from figures_html(self.figures)
        yield from _table(self)
        yield from curves_html(self.curves)
        yield from _galleries(self.spoken)
        yield from settings_html(self.settings)


def _table(voice: TTSSection) -> Iterator[str]:
    """Table of texts, speech and transcripts."""
    if not voice.spoken:
        return
    original = escape(voice.original_name)
    has_original = any(row.original for row in voice.spoken)
    ended = any(row.finished_reason for row in voice.spoken)
    yield "<h2>Asked, spoken, heard</h2>"
    yield f'<p class="soft">{_legend(voice.spoken)}</p>'
    heads = [("number", ""), ("ref", "Asked for"), ("take", "Ours")]
    heads += [("take", original)] * has_original + [("ended", "Ended by")] * ended
    cells = "".join(f'<th scope="col" class="{kind}">{head}</th>' for kind, head in heads)
    yield f'<table class="spoken"><thead><tr>{cells}</tr></thead><tbody>'
    form = form_of(take for row in voice.spoken for take in (row.ours, row.original) if take)
    for number, row in enumerate(voice.spoken, 1):
        yield f'<tr><td class="number">{number}</td><td class="ref">{escape(row.ref)}</td>'
        yield f'<td data-label="Ours">{take_html(row.ours, f"ours, {number}", form)}</td>'
        if has_original:
            name = f"{voice.original_name}, {number}"
            said = take_html(row.original, name, form) if row.original else "–"
            yield f'<td data-label="{original}">{said}</td>'
        if ended:
            yield f'<td class="ended" data-label="Ended by">{_chip(row.finished_reason)}</td>'
        yield "</tr>"
    yield "</tbody></table>"


def _legend(spoken: tuple[Spoken, ...]) -> str:
    if not any(row.ours.edits is not None for row in spoken):
        return "Texts that the model was not trained on."
    return (
        "Under each player stand the words that an independent speech recogniser heard in it. "
        + MARKS
    )


def _chip(reason: str) -> str:
    """The reason why a text ended; all but "stop" are marked."""
    late = "" if reason == "stop" else " late"
    return f'<span class="chip{late}">{escape(reason.replace("_", " "))}</span>' if reason else "–"


def _galleries(spoken: tuple[Spoken, ...]) -> Iterator[str]:
    drawn = [(row.ref, row.pictures) for row in spoken if row.pictures]
    if not drawn:
        return
    yield "<h2>Alignments and mels</h2>"
    yield (
        '<p class="soft">A voice that reads well draws one unbroken line from the lower left to '
        "the upper right of its alignment: each moment of speech looks at one place in the text, "
        "and no place is skipped.</p>"
    )
    yield from galleries_html(drawn)
