"""Page with players that compares styles, with what was asked and measured under each player."""

import json
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
import torch
from style_columns import COLUMNS, Run, cell, grouped
from torch import Tensor

from speechseq.audio import wav
from speechseq.corpus.generated_folder import MANIFEST
from speechseq.evaluation.report.page import Figure, figures_html
from speechseq.evaluation.report.player import Take, player_html
from speechseq.evaluation.style_card import measured
from speechseq.evaluation.style_directions import SETTINGS, UNITS, along
from speechseq.evaluation.style_regression import MEASURES
from speechseq.inference.synthesizer import Synthesizer
from speechseq.models import conditioning
from speechseq.models.style.latent import Latent

SHOWN = (0, 1, 3, 5, 6)  # of the settings along a direction
REFERENCES = 2
LETTERS = 15  # about the length of the text that is spoken along each direction
FORMAT = "FLAC"


class Clip(NamedTuple):
    """Speech on the page: its title, its waveform (samples,), and what was asked and measured."""

    name: str
    waveform: Tensor
    note: str


class Line(NamedTuple):
    """Row of players, aligned with the columns of the other rows."""

    head: str
    clips: Sequence[Clip]


class StyleSection(NamedTuple):
    """Section of the page about one style: its figures over all seeds, and players of one run."""

    title: str
    figures: Sequence[Figure]
    transfer: Sequence[Line]
    sweeps: Sequence[Line]
    sample_rate: int

    def html(self) -> Iterator[str]:
        """Iterate over the section's lines of HTML; all texts in them are escaped."""
        yield f'<h1 class="part">{escape(self.title)}</h1>'
        yield from figures_html(self.figures)
        yield "<h2>Transfer from unseen references</h2>"
        heads = ("asked: the text", "reference", "the same text", "another text")
        yield from _table(heads, self.transfer, self.sample_rate)
        yield "<h2>Along one direction of the code</h2>"
        if not self.sweeps:
            yield '<p class="soft">The run has no directions: run the recipe again on it.</p>'
            return
        heads = ("turned", *(f"{SETTINGS[i]:+g} sd" for i in SHOWN))
        yield from _table(heads, self.sweeps, self.sample_rate)


def sections(runs: Sequence[Run]) -> list[StyleSection]:
    """Build one section per style, with players of its first run."""
    return [_section(name, some) for name, some in grouped(runs).items()]


def _section(name: str, runs: Sequence[Run]) -> StyleSection:
    figures = []
    for column in COLUMNS:
        found = cell(column, runs)
        if found.values:
            text = str(found).strip("*")
            label = f"{column.group}: {column.name}"
            figures.append(Figure(label=label, value=text, note=column.asked, good=found.met))
    voice = Synthesizer.load(runs[0].folder / "checkpoints/last")
    title = f"{name}, {len(runs)} run{'s' * (len(runs) > 1)}; players: seed {runs[0].seed}"
    return StyleSection(
        title, figures, _transfer(voice, runs[0]), _sweeps(voice, runs[0]), voice.audio.sample_rate
    )


def _transfer(voice: Synthesizer, run: Run) -> list[Line]:
    """References, and speech of their own texts and of one other in their style."""
    texts, sounds = _references(run)
    rate, other = voice.audio.sample_rate, texts[-1]
    latent = voice.references([(sound, rate) for sound in sounds[:REFERENCES]])
    same, elsewhere = (
        _speak(voice, said, latent) for said in (texts[:REFERENCES], [other] * REFERENCES)
    )
    lines = []
    for i in range(REFERENCES):
        clips = [
            Clip(name, sound, _described(_row(sound, rate), said))
            for name, sound, said in (
                ("reference", sounds[i], texts[i]),
                ("same text", same[i], texts[i]),
                ("another text", elsewhere[i], other),
            )
        ]
        lines.append(Line(f"{texts[i]} · other text: {other}", clips))
    return lines


def _sweeps(voice: Synthesizer, run: Run) -> list[Line]:
    """One text at settings along each direction; changes are from the centre."""
    style, rate = conditioning.own_style(voice.model.style), voice.audio.sample_rate
    text = min(_references(run)[0], key=lambda text: abs(len(text) - LETTERS))
    lines = []
    for name, found in run.found["directions"].items():
        if "step" not in found:
            continue
        step = torch.tensor(found["step"]).view(style.code_shape)
        codes = torch.stack([along(style, step, SETTINGS[i]) for i in SHOWN])
        spoken = _speak(voice, [text] * len(SHOWN), style.by_hand(codes))
        place = MEASURES.index(name)
        values = [_row(sound, rate)[place] for sound in spoken]
        centre = values[SHOWN.index(len(SETTINGS) // 2)]
        clips = [
            Clip(
                f"{name} {SETTINGS[i]:+g}",
                sound,
                f"asked {_change(found['asked'][i], name)}, measured "
                f"{_change(value - centre, name)}",
            )
            for i, sound, value in zip(SHOWN, spoken, values, strict=True)
        ]
        lines.append(Line(f"{name}: {text}", clips))
    return lines


def _references(run: Run) -> tuple[list[str], list[Tensor]]:
    """Texts of the run's test, and recordings (samples,) of the first of them."""
    folder = run.folder / "corpus/test"
    plan: list[Any] = json.loads((folder / MANIFEST).read_text("utf-8"))["utterances"]
    paths = [folder / "wavs" / f"{row['id']}.wav" for row in plan[:REFERENCES]]
    return [row["text"] for row in plan], [wav.load(path)[0][0] for path in paths]


def _speak(voice: Synthesizer, texts: Sequence[str], latent: Latent) -> list[Tensor]:
    table = voice.model.speakers
    speaker = table.config.names[0] if table is not None else None
    spoken = voice.synthesize(texts, seed=0, latent=latent, speaker=speaker)
    return [speech.waveform for speech in spoken]


def _row(waveform: Tensor, sample_rate: int) -> np.ndarray:
    return measured([waveform], sample_rate)[0]


def _described(row: np.ndarray, text: str) -> str:
    """F0 in Hz, energy in dB and words a second."""
    f0 = f"{100 * 2 ** (row[0] / 12):.0f} Hz" if np.isfinite(row[0]) else "no F0"
    rate = f"{len(text.split()) * 2 ** row[3]:.1f} words/s" if np.isfinite(row[3]) else "silent"
    return f"{f0}, {row[2]:.1f} dB, {rate}"


def _change(value: float, name: str) -> str:
    return f"{value:+.2f} {UNITS[name]}" if np.isfinite(value) else "undefined"


def _table(heads: Sequence[str], lines: Sequence[Line], sample_rate: int) -> Iterator[str]:
    cells = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    yield f'<table class="spoken"><thead><tr>{cells}</tr></thead><tbody>'
    for line in lines:
        yield f'<tr><td class="ref">{escape(line.head)}</td>'
        for clip, head in zip(line.clips, heads[1:], strict=True):
            take = Take(waveform=clip.waveform, sample_rate=sample_rate)
            player = player_html(take, f"{line.head}, {clip.name}", FORMAT)
            note = f'<div class="soft">{escape(clip.note)}</div>'
            yield f'<td data-label="{escape(head)}">{player}{note}</td>'
        yield "</tr>"
    yield "</tbody></table>"
