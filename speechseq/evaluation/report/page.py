"""Report of a run as one self-contained HTML file."""

import base64
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from speechseq import __version__
from speechseq.file_writing import replace_file
from speechseq.pictures import curves_picture

_SHOWN = 4  # utterances whose pictures stand open; those of the others unfold


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """Headline figure of a report, such as a word error rate, shown large at its top.

    Attributes:
        label: name of the figure.
        value: the figure as text, such as "3.2 %".
        note: explanation in small print.
        good: colour, green if True, red if False, neutral if None.
    """

    label: str
    value: str
    note: str = ""
    good: bool | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """Picture of a report.

    Attributes:
        title: title above the picture.
        png: the picture as PNG bytes.
        caption: text below the picture.
    """

    title: str
    png: bytes
    caption: str = ""


@runtime_checkable
class Section(Protocol):
    """Protocol of a section of a report, such as `TTSSection` or `ASRSection`."""

    def html(self) -> Iterator[str]:
        """Yield the section's lines of HTML; special characters of texts are escaped."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """Content of an HTML report, which `write` writes as one file.

    Attributes:
        title: headline of the page.
        summary: sentence below the headline.
        sections: sections of the page, from top to bottom.
        footer: last line.
    """

    title: str
    summary: str
    sections: tuple[Section, ...] = ()
    footer: str = ""


def write(path: str | Path, report: Report) -> None:
    """Write a report as one HTML file, with all pictures and sounds inside, atomically.

    Raises:
        MachineError: the folder is missing, not writable or full.
    """
    # a text from a file name may hold bytes that are not UTF-8
    replace_file(path, page(report).encode("utf-8", "backslashreplace"))


def page(report: Report) -> str:
    """Return a report as the text of an HTML page, with all pictures and sounds inside."""
    style = Path(__file__).with_name("report.css").read_text("utf-8")
    title = escape(report.title)
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title><style>{style}</style></head><body><main>",
            f'<h1>{title}</h1><p class="soft">{escape(report.summary)}</p>',
            *(line for section in report.sections for line in _section(section)),
            f"<footer>{escape(report.footer)} Made by speechseq {__version__}.</footer>",
            "</main></body></html>",
        ]
    )


def _section(section: Section) -> Iterator[str]:
    yield "<section>"
    yield from section.html()
    yield "</section>"


def figures_html(figures: Sequence[Figure]) -> Iterator[str]:
    """Yield lines of HTML that show headline figures side by side."""
    if not figures:
        return
    yield '<dl class="figures">'
    for figure in figures:
        tone = {True: ' class="good"', False: ' class="bad"', None: ""}[figure.good]
        note = f'<dd class="note">{escape(figure.note)}</dd>' if figure.note else ""
        head = f"<dt>{escape(figure.label)}</dt><dd>{escape(figure.value)}</dd>"
        yield f"<div{tone}>{head}{note}</div>"
    yield "</dl>"


def curves_html(curves: Sequence[Picture]) -> Iterator[str]:
    """Yield lines of HTML that show training curves under a heading."""
    if curves:
        yield "<h2>How it learned</h2>" + _grid(curves)


def curve_pictures(curves: Mapping[str, Sequence[tuple[int, float]]]) -> Iterator[Picture]:
    """Draw the training curves of a run as two pictures: "loss/…", and "validation/…".

    Other curves are left out.

    Args:
        curves: (update, value) pairs of each curve, by name, such as the result of
            `training.log.curves`.
    """
    for group in ("loss", "validation"):
        head = f"{group}/"
        series = {k.removeprefix(head): v for k, v in curves.items() if k.startswith(head)}
        if series:
            yield Picture(title=group, png=curves_picture(series, log=True))


def galleries_html(galleries: Sequence[tuple[str, Sequence[Picture]]]) -> Iterator[str]:
    """Yield lines of HTML that show the pictures of each utterance under its name.

    Only the first utterances are visible; the reader of the page can unfold the others.

    Args:
        galleries: pairs of an utterance's name and its pictures.
    """
    yield from (_gallery(*gallery) for gallery in galleries[:_SHOWN])
    if rest := galleries[_SHOWN:]:
        yield from _folded(len(rest), [_gallery(*gallery) for gallery in rest])


def pictures_html(pictures: Sequence[Picture]) -> Iterator[str]:
    """Yield lines of HTML that show pictures side by side.

    Only the first pictures are visible; the reader of the page can unfold the others.
    """
    yield _grid(pictures[:_SHOWN])
    if rest := pictures[_SHOWN:]:
        yield from _folded(len(rest), [_grid(rest)])


def _folded(count: int, lines: Sequence[str]) -> Iterator[str]:
    yield f"<details><summary>{count} more</summary>"
    yield from lines
    yield "</details>"


def _gallery(name: str, pictures: Sequence[Picture]) -> str:
    return f"<h3>{escape(name)}</h3>{_grid(pictures)}"


def _grid(pictures: Sequence[Picture]) -> str:
    return f'<div class="pictures">{"".join(map(_picture, pictures))}</div>'


def _picture(picture: Picture) -> str:
    title, caption = escape(picture.title), escape(picture.caption)
    data = base64.b64encode(picture.png).decode()
    return (
        f'<figure><img loading="lazy" alt="{title}" src="data:image/png;base64,{data}">'
        f"<figcaption><b>{title}</b> {caption}</figcaption></figure>"
    )


def settings_html(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines of HTML with a table of settings, collapsed until the reader opens it.

    Args:
        settings: nested plain data, the result of `Config.to_dict`.
    """
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
