"""Picture of growth: time with its limit, share of the limit, and memory."""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from growth_points import Found
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from speechseq.pictures import FAINT, INK, LINES, empty_figure, png, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = ("train batch", "train frames", "train reduction_factor", "train width", "train threads")
SPEECH = "speak batch"
TITLES = {
    "train batch": "training: batch",
    "train frames": "training: frames",
    "train reduction_factor": "training: frames a step (r)",
    "train width": "training: width of the model",
    "train threads": "training: threads",
    "speak batch": "speaking: batch",
}
COLOURS = dict(zip(("float32", "bf16", "int8"), LINES, strict=False))
UNITS = {"train": ("s an update", 1.0), "speak": ("ms a step", 1e3)}


def picture(found: Sequence[Found]) -> bytes:
    """Draw a column of three panels for each varied number, as PNG bytes."""
    columns = _columns(found)
    figure = empty_figure(2.25 * len(columns), 5.8)
    grid = figure.subplots(3, len(columns), squeeze=False)
    for (name, lines), (time, share, memory) in zip(columns.items(), grid.T, strict=True):
        time.set_title(TITLES[name], loc="left", fontsize=9)
        unit, scale = UNITS[name.split()[0]]
        for precision, points in lines.items():
            values = [f.point.value for f in points]
            look = {"color": COLOURS[precision], "linewidth": 1.4, "marker": "o", "markersize": 3}
            time.plot(values, [scale * f.seconds for f in points], label=precision, **look)
            time.plot(values, [scale * f.limit for f in points], **look | _LIMIT)
            share.plot(values, [f.share for f in points], **look)
            memory.plot(values, [f.gigabytes for f in points], **look)
        for axes in (time, share, memory):
            _scaled(axes, sorted({f.point.value for points in lines.values() for f in points}))
        time.set_yscale("log")
        time.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        time.yaxis.set_major_formatter(FuncFormatter(_short))
        time.yaxis.set_minor_formatter(NullFormatter())
        time.set_ylabel(unit, fontsize=8)
        share.set_ylim(0, max(1.05, *(1.05 * f.share for p in lines.values() for f in p)))
        share.yaxis.set_major_formatter(PercentFormatter(1.0))
        memory.set_ylim(0, 1.1 * max(f.gigabytes for p in lines.values() for f in p))
    for axes, label in zip(grid[1:, 0], ("share of the limit", "peak memory, GB"), strict=True):
        axes.set_ylabel(label, fontsize=8)
    _legend(figure, grid[0, -1])
    return png(figure)


_LIMIT: dict[str, Any] = {"linestyle": (0, (2, 2)), "marker": "", "linewidth": 1.1}


def _columns(found: Sequence[Found]) -> dict[str, dict[str, list[Found]]]:
    """Group by work and varied number, then by precision; each line is sorted by value."""
    columns: dict[str, dict[str, list[Found]]] = {}
    for name in (*PANELS, SPEECH):
        mine = [f for f in found if f"{f.point.work} {f.point.axis}" == name]
        mine.sort(key=lambda f: (list(COLOURS).index(f.point.precision), f.point.value))
        if mine:
            lines = groupby(mine, key=lambda f: f.point.precision)
            columns[name] = {precision: list(points) for precision, points in lines}
    return columns


def _scaled(axes: "Axes", values: list[float]) -> None:
    """Logarithmic x axis, with a tick at each value if there is space."""
    style(axes)
    axes.set_xscale("log")
    axes.set_xticks(values[:: 1 + len(values) // 6], minor=False)
    axes.xaxis.set_major_formatter(FuncFormatter(_short))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=7.5)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


def _legend(figure: "Figure", axes: "Axes") -> None:
    """Add one legend for all panels, below them."""
    lines, names = axes.get_legend_handles_labels()
    limit = axes.plot([], [], **_LIMIT | {"color": INK})
    names.append("dashed: the machine's limit")
    place = {"loc": "outside lower center", "ncols": len(names)}
    figure.legend([*lines, *limit], names, frameon=False, fontsize=8, **place)


def _short(value: float, _: Any = None) -> str:
    return f"{value:g}"
