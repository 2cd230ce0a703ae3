"""One HTML file that shows and plays what a run came to: nothing outside it is needed."""

import base64
import dataclasses
import io
import os
import secrets
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import soundfile
from jaxtyping import Float
from torch import Tensor

from speechseq import __version__
from speechseq.errors import MachineError
from speechseq.inference.judge import Edit, Heard

_HEAVY = 1 << 22  # samples on one page above which FLAC, half the size, takes the place of WAV
_SHOWN = 4  # texts whose pictures stand open; those of the others unfold


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """A headline figure: what it is, its value, a note under it; good or bad colours it."""

    label: str
    value: str
    note: str = ""
    good: bool | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """A PNG with its title and a caption."""

    title: str
    png: bytes
    caption: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Take:
    """One saying of a text: waveform (samples,) in [-1, 1], and what the judge heard in it."""

    waveform: Float[Tensor, " samples"]
    sample_rate: int
    heard: Heard | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spoken:
    """A text, our saying of it beside the original, why ours ended, its pictures."""

    asked: str
    ours: Take
    original: Take | None = None
    finished_reason: str = ""
    pictures: tuple[Picture, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """All that the page shows, from top to bottom.

    settings is plain data, nested as `Config.to_dict` gives it.
    """

    title: str
    summary: str
    figures: tuple[Figure, ...] = ()
    spoken: tuple[Spoken, ...] = ()
    curves: tuple[Picture, ...] = ()
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    original_name: str = "Original"
    footer: str = ""


def write(path: str | Path, report: Report) -> None:
    """Write the page, whole or not at all.

    Raises:
        MachineError: the folder is missing, not writable or full.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        beside.write_text(page(report), "utf-8")
        os.replace(beside, path)
    except OSError as error:
        raise MachineError(
            f"{path}: cannot be written: {error.strerror}", "check the folder, its rights and space"
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def page(report: Report) -> str:
    """The page as HTML; every text in it is escaped."""
    style = Path(__file__).with_name("report.css").read_text("utf-8")
    title = escape(report.title)
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title><style>{style}</style></head><body><main>",
            f'<h1>{title}</h1><p class="soft">{escape(report.summary)}</p>',
            *_figures(report.figures),
            *_table(report),
            *_curves(report.curves),
            *_galleries(report.spoken),
            *_settings(report.settings),
            f"<footer>{escape(report.footer)} Made by speechseq {__version__}.</footer>",
            "</main></body></html>",
        ]
    )


def _figures(figures: tuple[Figure, ...]) -> Iterator[str]:
    if not figures:
        return
    yield '<dl class="figures">'
    for figure in figures:
        tone = {True: ' class="good"', False: ' class="bad"', None: ""}[figure.good]
        note = f'<dd class="note">{escape(figure.note)}</dd>' if figure.note else ""
        head = f"<dt>{escape(figure.label)}</dt><dd>{escape(figure.value)}</dd>"
        yield f"<div{tone}>{head}{note}</div>"
    yield "</dl>"


def _table(report: Report) -> Iterator[str]:
    """What was asked, what was said, what was heard."""
    if not report.spoken:
        return
    original = escape(report.original_name)
    beside = any(row.original for row in report.spoken)
    ended = any(row.finished_reason for row in report.spoken)
    yield "<h2>Asked, spoken, heard</h2>"
    yield f'<p class="soft">{_legend(report.spoken)}</p>'
    heads = [("number", ""), ("asked", "Asked for"), ("take", "Ours")]
    heads += [("take", original)] * beside + [("ended", "Ended by")] * ended
    cells = "".join(f'<th scope="col" class="{kind}">{head}</th>' for kind, head in heads)
    yield f'<table class="spoken"><thead><tr>{cells}</tr></thead><tbody>'
    takes = [take for row in report.spoken for take in (row.ours, row.original) if take]
    form = "FLAC" if sum(len(take.waveform) for take in takes) > _HEAVY else "WAV"
    for number, row in enumerate(report.spoken, 1):
        yield f'<tr><td class="number">{number}</td><td class="asked">{escape(row.asked)}</td>'
        yield f'<td data-label="Ours">{_take(row.ours, f"ours, {number}", form)}</td>'
        if beside:
            name = f"{report.original_name}, {number}"
            said = _take(row.original, name, form) if row.original else "–"
            yield f'<td data-label="{original}">{said}</td>'
        if ended:
            yield f'<td class="ended" data-label="Ended by">{_chip(row.finished_reason)}</td>'
        yield "</tr>"
    yield "</tbody></table>"


def _legend(spoken: tuple[Spoken, ...]) -> str:
    if not any(row.ours.heard for row in spoken):
        return "Texts that the model was not trained on."
    return (
        "Under each player stand the words that an independent speech recogniser heard in it. "
        "Its errors are marked: <mark><s>asked</s> heard</mark>, a word missed "
        "<mark><s>asked</s></mark>, a word too many <mark>+ heard</mark>."
    )


def _take(take: Take, name: str, form: str) -> str:
    sound = base64.b64encode(_sound(take, form)).decode()
    player = (
        f'<audio controls preload="metadata" aria-label="{escape(name)}" '
        f'src="data:audio/{form.lower()};base64,{sound}"></audio>'
    )
    if take.heard is None:
        return player
    words = " ".join(map(_edit, take.heard.edits)) or "<mark>nothing</mark>"
    return f'{player}<div class="heard">{words}</div>'


def _edit(edit: Edit) -> str:
    asked, heard = escape(edit.asked), escape(edit.heard)
    return {
        "equal": heard,
        "substitute": f"<mark><s>{asked}</s> {heard}</mark>",
        "delete": f"<mark><s>{asked}</s></mark>",
        "insert": f"<mark>+ {heard}</mark>",
    }[edit.kind]


def _chip(reason: str) -> str:
    """Why a text ended; anything but the stop head's own word asks for a look."""
    late = "" if reason == "stop" else " late"
    return f'<span class="chip{late}">{escape(reason.replace("_", " "))}</span>' if reason else "–"


def _sound(take: Take, form: str) -> bytes:
    buffer = io.BytesIO()
    samples = take.waveform.detach().float().cpu().clamp(-1, 1).numpy()
    soundfile.write(buffer, samples, take.sample_rate, format=form, subtype="PCM_16")
    return buffer.getvalue()


def _curves(curves: tuple[Picture, ...]) -> Iterator[str]:
    if curves:
        yield "<h2>How it learned</h2>"
        yield f'<div class="pictures">{"".join(map(_picture, curves))}</div>'


def _galleries(spoken: tuple[Spoken, ...]) -> Iterator[str]:
    drawn = [row for row in spoken if row.pictures]
    if not drawn:
        return
    yield "<h2>Alignments and mels</h2>"
    yield (
        '<p class="soft">A voice that reads well draws one unbroken line from the lower left to '
        "the upper right of its alignment: each moment of speech looks at one place in the text, "
        "and no place is skipped.</p>"
    )
    yield from map(_gallery, drawn[:_SHOWN])
    if drawn[_SHOWN:]:
        yield f"<details><summary>{len(drawn) - _SHOWN} more texts</summary>"
        yield from map(_gallery, drawn[_SHOWN:])
        yield "</details>"


def _gallery(row: Spoken) -> str:
    pictures = "".join(map(_picture, row.pictures))
    return f'<h3>{escape(row.asked)}</h3><div class="pictures">{pictures}</div>'


def _picture(picture: Picture) -> str:
    title, caption = escape(picture.title), escape(picture.caption)
    data = base64.b64encode(picture.png).decode()
    return (
        f'<figure><img loading="lazy" alt="{title}" src="data:image/png;base64,{data}">'
        f"<figcaption><b>{title}</b> {caption}</figcaption></figure>"
    )


def _settings(settings: Mapping[str, Any]) -> Iterator[str]:
    if not settings:
        return
    yield "<h2>Settings</h2><details><summary>Every number of this run</summary>"
    yield '<table class="settings"><tbody>'
    for key, value in _leaves(settings):
        yield f"<tr><td>{escape(key)}</td><td>{escape(str(value))}</td></tr>"
    yield "</tbody></table></details>"


def _leaves(settings: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        name = f"{head}.{key}" if head else key
        if isinstance(value, Mapping):
            yield from _leaves(value, name)
        else:
            yield name, value
