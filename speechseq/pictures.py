"""Pictures as PNG bytes: alignments, mels and curves, drawn without global state."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from speechseq.printable import printable

if TYPE_CHECKING:  # matplotlib takes half a second to import: functions import it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT = "#1f2430", "#d7dbe3"  # colours of text and ticks; of grids
LINES = ("#2563eb", "#d9480f", "#0f8a5f", "#9333ea", "#b7791f", "#c2255c", "#0e7490", "#57606a")
_DPI = 110
_MOST_SYMBOLS = 90  # more would be too small to read: positions are numbered instead
_LONGEST_TITLE = 110


def alignment_picture(
    alignment: Float[Tensor, "steps positions"],
    symbols: Sequence[str] | None = None,
    title: str = "",
    across: str = "decoder step",
) -> bytes:
    """Draw attention weights (steps, positions) as PNG bytes, steps on the x axis, positions on y.

    For a recogniser, transpose the alignment, to have time on the x axis and symbols on the y axis.

    Args:
        alignment: attention weights of each step, (steps, positions).
        symbols: label of each position; omitted if there are too many.
        title: title of the picture, truncated if too long.
        across: label of the x axis.
    """
    weights = _array(alignment)
    steps, positions = weights.shape
    named = symbols is not None and len(symbols) == positions <= _MOST_SYMBOLS
    height = float(np.clip(0.16 * positions if named else 4.2, 2.6, 14.0))
    figure, axes = _figure(float(np.clip(0.05 * steps, 6.0, 12.0)), height + 1.0)
    image = axes.imshow(
        weights.T, origin="lower", aspect="auto", interpolation="nearest", cmap="magma", vmin=0
    )
    if named and symbols is not None:
        axes.set_yticks(range(positions), [_visible(symbol) for symbol in symbols])
        axes.tick_params(axis="y", labelsize=8, length=0)
    axes.set_xlabel(across)
    axes.set_ylabel("" if named else "position")
    _bar(figure, axes, image, "weight")
    return _titled(figure, axes, title)


def mel_picture(
    mel: Float[Tensor, "frames mels"],
    title: str = "",
    *,
    target: Float[Tensor, "other_frames mels"] | None = None,
) -> bytes:
    """Draw a log-mel (frames, mels) as PNG bytes, with its `target` below it on the same scale.

    Args:
        mel: (frames, mels).
        title: title of the picture, truncated if too long.
        target: (other_frames, mels), the mel of the recording; None for none.
    """
    shown = {"": _array(mel)} if target is None else {"made": _array(mel), "true": _array(target)}
    everything = np.concatenate([array.ravel() for array in shown.values()])
    lowest, highest = _range(everything)
    frames = max(len(array) for array in shown.values())
    width = float(np.clip(0.016 * frames, 6.0, 16.0))
    figure = empty_figure(width, 1.0 + 2.4 * len(shown))
    rows = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, array) in zip(rows, shown.items(), strict=True):
        image = axes.imshow(
            array.T,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            cmap="magma",
            vmin=lowest,
            vmax=highest,
        )
        axes.set_xlim(-0.5, frames - 0.5)
        axes.set_ylabel(f"{name} · mel band" if name else "mel band")
        style(axes)
    rows[-1].set_xlabel("frame")
    _bar(figure, list(rows), image, "log-mel")
    return _titled(figure, rows[0], title)


def curves_picture(
    series: Mapping[str, Sequence[tuple[int, float]]], title: str = "", *, log: bool = False
) -> bytes:
    """Draw curves over the updates of a training as PNG bytes, each labelled at its right end.

    Args:
        series: (update, value) pairs of each curve, by the curve's name.
        title: title of the picture, truncated if too long.
        log: make the y axis logarithmic.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure(8.0, 4.2)
    ends = []
    for (name, points), colour in zip(series.items(), _cycle(len(series)), strict=True):
        kept = [(u, value) for u, value in points if np.isfinite(value) and (value > 0 or not log)]
        if not kept:
            continue
        updates, values = zip(*kept, strict=True)
        axes.plot(updates, values, color=colour, linewidth=1.6, marker="o"[: len(kept) == 1])
        ends.append((name, colour, float(updates[-1]), float(values[-1])))
    if log:
        axes.set_yscale("log")
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("update")
    _name_ends(axes, ends)
    return _titled(figure, axes, title)


def empty_figure(width: float, height: float) -> "Figure":
    """Return a white matplotlib figure of `width` × `height` inches, with constrained layout."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def style(axes: "Axes") -> None:
    """Remove the frame of matplotlib axes, and colour ticks and labels with INK (dark grey)."""
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(colors=INK, labelsize=9, length=3, width=0.6)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)


def png(figure: "Figure") -> bytes:
    """Render a matplotlib figure to the bytes of a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _array(values: Tensor) -> np.ndarray:
    """Convert to a finite float32 array; empty dimensions become one cell."""
    array = values.detach().cpu().float().numpy()
    if not array.size:
        return np.zeros([max(length, 1) for length in array.shape], dtype=np.float32)
    return np.nan_to_num(array, posinf=0.0, neginf=0.0)


def _range(values: np.ndarray) -> tuple[float, float]:
    """Lowest value and 99.99th percentile as colour range; never equal."""
    lowest, highest = float(values.min()), float(np.percentile(values, 99.99))
    return (lowest, highest) if highest > lowest else (lowest - 0.5, lowest + 0.5)


def _unformatted(text: str) -> str:
    return text.replace("$", r"\$")  # a dollar sign would start a formula


def _visible(symbol: str) -> str:
    return {" ": "␣"}.get(symbol, printable(symbol))


def _cycle(count: int) -> list[str]:
    return [LINES[i % len(LINES)] for i in range(count)]


def _figure(width: float, height: float) -> "tuple[Figure, Axes]":
    figure = empty_figure(width, height)
    axes = figure.subplots()
    style(axes)
    return figure, axes


def _bar(figure: "Figure", axes: Any, image: Any, label: str) -> None:
    bar = figure.colorbar(image, ax=axes, pad=0.015, fraction=0.04, aspect=30)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=INK, labelsize=8, length=2)
    bar.set_label(label, color=INK, fontsize=9)


def _name_ends(axes: "Axes", ends: Sequence[tuple[str, str, float, float]]) -> None:
    """Write each curve's name at its end, moved apart until none covers another."""
    ends = sorted(ends, key=lambda end: end[3])
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [float(to_axes.transform((x, y))[1]) for _, _, x, y in ends]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + 0.055)
    for i in reversed(range(len(heights))):  # then move down those that left the top
        heights[i] = min(heights[i], 1.0 - 0.055 * (len(heights) - 1 - i))
    for (name, colour, _, value), height in zip(ends, heights, strict=True):
        axes.annotate(
            _unformatted(f"{name}  {value:.3g}"),
            (1.01, height),
            xycoords="axes fraction",
            color=colour,
            fontsize=9,
            va="center",
            annotation_clip=False,
        )


def _titled(figure: "Figure", axes: "Axes", title: str) -> bytes:
    if title:
        title = printable(title)
        short = title if len(title) <= _LONGEST_TITLE else title[: _LONGEST_TITLE - 1] + "…"
        axes.set_title(_unformatted(short), loc="left", fontsize=10, color=INK)
    return png(figure)
