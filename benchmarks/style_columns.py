"""Columns of the comparison of styles: aims, and measures read from the results of runs."""

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

STYLES = ("gst", "prosody_transfer", "vae", "wae_mmd", "flow_vae", "autoencoder")


class Run(NamedTuple):
    """Results in a run's folder of recipes/tts/known_prosody.py: style.json and the style card."""

    folder: Path
    style: str
    seed: int
    found: Mapping[str, Any]
    card: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of the run: style and seed."""
        return f"{self.style}, seed {self.seed}"


class Column(NamedTuple):
    """Measure with its aim, a lower or upper bound; `read` returns None if it is undefined."""

    group: str
    name: str
    aim: float | None
    least: bool
    read: Callable[[Run], float | None]

    @property
    def asked(self) -> str:
        """Return the aim in words, "" for none."""
        return "" if self.aim is None else f"{'≥' if self.least else '≤'} {self.aim:g}"

    @property
    def head(self) -> str:
        """Return the heading of the column: name and aim."""
        return f"{self.name} ({self.asked})" if self.asked else self.name

    def met(self, value: float) -> bool | None:
        """True if a value reaches the aim; None without an aim."""
        if self.aim is None:
            return None
        return value >= self.aim if self.least else value <= self.aim


class Cell(NamedTuple):
    """Values of a column over the seeds of a style; undefined values are left out."""

    values: Sequence[float]
    seeds: int
    met: bool | None

    def __str__(self) -> str:
        if not self.values:
            return "–"
        text = f"{statistics.fmean(self.values):.2f}"
        if len(self.values) > 1:
            text += f" ± {statistics.stdev(self.values):.2f}"
        if len(self.values) < self.seeds:
            text += f" ({len(self.values)} of {self.seeds})"
        return f"**{text}**" if self.met is False else text

    def plain(self) -> dict[str, Any]:
        """Return data for JSON: mean and deviation, each value, and whether the aim is met."""
        several = len(self.values) > 1
        return {
            "mean": statistics.fmean(self.values) if self.values else None,
            "sd": statistics.stdev(self.values) if several else None,
            "values": list(self.values),
            "seeds": self.seeds,
            "met": self.met,
        }


def read_run(folder: Path) -> Run:
    """Read a run's results.

    If the results lack style and seed, the folder's name has them, such as vae-1.

    Raises:
        FileNotFoundError: the recipe has not finished there.
    """
    found = json.loads((folder / "style.json").read_text("utf-8"))
    card = json.loads((folder / "checkpoints/last/style_card.json").read_text("utf-8"))
    name = folder.resolve().name
    named = [style for style in STYLES if name.startswith(style)]
    style = found.get("style") or max(named, key=len, default=name)
    seed = found.get("seed")
    if seed is None:
        digits = name.removeprefix(style).strip("-_")
        seed = int(digits) if digits.isdecimal() else 0
    return Run(folder, style, seed, found, card)


def value(*keys: str) -> Callable[[Run], float | None]:
    """Return a function that reads a number of style.json, None if it is missing or undefined."""

    def read(run: Run) -> float | None:
        found: Any = run.found
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found if isinstance(found, int | float) and math.isfinite(found) else None

    return read


def together(
    join: Callable[..., float], *parts: Callable[[Run], float | None]
) -> Callable[[Run], float | None]:
    """Return a function that joins several numbers of a run, None if one of them is undefined."""

    def read(run: Run) -> float | None:
        values = [part(run) for part in parts]
        return None if None in values else join(*values)

    return read


def _span(measure: str) -> Callable[[Run], float | None]:
    return together(abs, value("directions", measure, "span"))


def _rho(measure: str) -> Callable[[Run], float | None]:
    return together(abs, value("directions", measure, "rho"))


def _rise(run: Run) -> float | None:
    """Largest rise of the WER along a direction over that at its centre."""
    rises = [
        together(
            lambda worst, centre: worst - centre,
            value("directions", measure, "worst_wer"),
            value("directions", measure, "wer"),
        )(run)
        for measure in ("f0", "energy", "rate")
    ]
    return None if None in rises else max(r for r in rises if r is not None)


def _alive(run: Run) -> float | None:
    """Tokens that change the speech; None for a style without tokens."""
    knobs = run.card["knobs"]
    return len(knobs) - len(run.card["dead"]) if run.style == "gst" else None


DIRECTIONS, SAME, OTHER = "Directions", "Same text", "Other text"
CODE, PRIOR, REST = "Code", "Prior", "Default and voices"
COLUMNS = (
    Column(DIRECTIONS, "F0 span, semitones", 6.5, True, _span("f0")),
    Column(DIRECTIONS, "F0 ρ", 0.9, True, _rho("f0")),
    Column(DIRECTIONS, "energy span, dB", 7.0, True, _span("energy")),
    Column(DIRECTIONS, "energy ρ", 0.9, True, _rho("energy")),
    Column(DIRECTIONS, "rate span, octaves", 0.85, True, _span("rate")),
    Column(DIRECTIONS, "rate ρ", 0.9, True, _rho("rate")),
    Column(DIRECTIONS, "WER rise", 0.05, False, _rise),
    Column(SAME, "F0, semitones", 1.0, False, value("same_text", "f0")),
    Column(SAME, "energy, dB", 1.5, False, value("same_text", "energy")),
    Column(
        SAME,
        "duration, %",
        10.0,
        False,
        together(lambda octaves: 100 * (2**octaves - 1), value("same_text", "rate")),
    ),
    Column(SAME, "FFE", 0.2, False, value("same_text", "ffe")),
    Column(OTHER, "F0 ρ", 0.9, True, value("other_text", "f0")),
    Column(OTHER, "energy ρ", 0.9, True, value("other_text", "energy")),
    Column(OTHER, "rate ρ", 0.9, True, value("other_text", "rate")),
    Column(
        CODE,
        "text probe over chance",
        0.05,
        False,
        together(
            lambda found, chance: found - chance,
            value("text_probe", "accuracy"),
            value("text_probe", "permuted"),
        ),
    ),
    Column(CODE, "R² F0", None, True, value("recovered", "f0")),
    Column(CODE, "R² spread", 0.5, True, value("recovered", "spread")),
    Column(CODE, "R² energy", None, True, value("recovered", "energy")),
    Column(CODE, "R² rate", None, True, value("recovered", "rate")),
    Column(CODE, "tokens alive", 5, True, _alive),
    Column(
        PRIOR,
        "WER over reconstruction's",
        0.05,
        False,
        together(lambda ours, same: ours - same, value("prior", "wer"), value("same_text", "wer")),
    ),
    Column(
        PRIOR,
        "prosody distance over null",
        1.3,
        False,
        together(
            lambda ours, null: ours / null, value("prior", "distance"), value("prior", "null")
        ),
    ),
    Column(
        REST,
        "default off the corpus, sd",
        0.5,
        False,
        together(
            lambda *apart: max(map(abs, apart)),
            *(value("default", name) for name in ("f0", "energy", "rate")),
        ),
    ),
    Column(REST, "voices known, of the originals", 0.9, True, value("speakers", "ratio")),
)


def cell(column: Column, runs: Sequence[Run]) -> Cell:
    """Collect a column over the runs of one style."""
    values = [found for found in map(column.read, runs) if found is not None]
    return Cell(values, len(runs), column.met(statistics.fmean(values)) if values else None)


def grouped(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Group runs by style: the recipe's styles first, in its order; seeds ascending."""
    names = dict.fromkeys([*STYLES, *sorted(run.style for run in runs)])
    groups = {name: [run for run in runs if run.style == name] for name in names}
    return {name: sorted(some, key=lambda run: run.seed) for name, some in groups.items() if some}


def markdown(runs: Sequence[Run]) -> str:
    """Format one table per group of columns, one row per style.

    A cell has mean ± standard deviation over seeds, in bold if it misses the aim.
    """
    lines = []
    for group in dict.fromkeys(column.group for column in COLUMNS):
        columns = [column for column in COLUMNS if column.group == group]
        heads = (column.head for column in columns)
        lines += [f"{group}:", "", f"| style | {' | '.join(heads)} |"]
        lines.append("|---" * (len(columns) + 1) + "|")
        for name, some in grouped(runs).items():
            cells = (str(cell(column, some)) for column in columns)
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def plain(runs: Sequence[Run]) -> dict[str, Any]:
    """Return all cells as data for JSON, by style and column."""
    return {
        name: {
            f"{column.group}: {column.name}": {"asked": column.asked, **cell(column, some).plain()}
            for column in COLUMNS
        }
        for name, some in grouped(runs).items()
    }
