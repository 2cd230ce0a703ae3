"""Refinement of word boundaries: each is moved into a pause that is near.

A memory position lasts 40 to 80 ms; the loudness of the sound has a finer resolution.
"""

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np

from speechseq.shapes import Waveform

Span = tuple[float, float]
_HOP, _WINDOW = 0.005, 0.02  # seconds
_REACH = 0.15  # seconds that a boundary may move to find the quietest place
_RISE = 0.15  # a pause ends where loudness has risen by this share of the rise to the word's
_LEAST = 6.0  # dB between word and quietest place; with a smaller rise there is no pause


def into_pauses(
    spans: Sequence[Span], waveform: Waveform, rate: int, reach: float = _REACH
) -> list[Span]:
    """Refine word times: move each boundary between words to the quietest place nearby.

    The resolution is 5 ms. If that place is a pause, the word before it ends where the pause
    begins, and the next word begins where the pause ends. No boundary passes the middle of a word,
    so the order of the words stays, and every word keeps a duration above 0.

    Args:
        spans: (start, end) of each word in seconds.
        waveform: sound (1, samples).
        rate: samples per second of the waveform.
        reach: maximum shift of a boundary in seconds.

    Returns:
        The new (start, end) of each word in seconds.
    """
    loudness, times = _loudness(waveform, rate)
    if not spans or len(times) < 2:
        return list(spans)
    middles = [(start + end) / 2 for start, end in spans]
    begin = _onset(loudness, times, spans[0][0], middles[0], reach)
    backwards = [-time for time in reversed(times)]
    end = -_onset(loudness[::-1], backwards, -spans[-1][1], -middles[-1], reach)
    tops = [_top(loudness[bisect_left(times, a) : bisect_right(times, b)]) for a, b in spans]
    guesses = [(one[1] + other[0]) / 2 for one, other in itertools.pairwise(spans)]
    inner = [
        # the inner fifth of each half of a word always belongs to the word, however quiet
        _pause(loudness, times, (_nearer(a, guess), _nearer(b, guess)), guess, min(levels), reach)
        for (a, b), levels, guess in zip(
            itertools.pairwise(middles), itertools.pairwise(tops), guesses, strict=True
        )
    ]
    edges = [begin, *itertools.chain.from_iterable(inner), end]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _loudness(waveform: Waveform, rate: int) -> tuple[np.ndarray, list[float]]:
    """Loudness (dB) of windows of 20 ms every 5 ms, and the times of their centres."""
    hop, size = max(1, round(_HOP * rate)), max(1, round(_WINDOW * rate))
    if waveform.shape[1] < size:
        return np.zeros(0), []
    power = waveform[0].double().square().unfold(0, size, hop).mean(1)
    times = (np.arange(len(power)) * hop + size / 2) / rate
    return (10 * (power + 1e-10).log10()).numpy(), times.tolist()


def _pause(
    loudness: np.ndarray, times: list[float], limits: Span, guess: float, top: float, reach: float
) -> Span:
    """Start and end of the pause nearest to the guess; equal when there is none.

    Args:
        limits: the middles of the words before and after.
        top: dB of the softer of the two.
    """
    low, high = bisect_left(times, limits[0]), bisect_right(times, limits[1])
    first = max(low, bisect_left(times, guess - reach))
    last = min(high, bisect_right(times, guess + reach))
    if first >= last:
        return guess, guess
    quietest = first + int(loudness[first:last].argmin())
    rise = top - loudness[quietest]
    if rise < _LEAST:
        return times[quietest], times[quietest]
    loud = np.flatnonzero(loudness[low:high] > loudness[quietest] + _RISE * rise) + low
    before, after = loud[loud < quietest], loud[loud > quietest]
    begin = times[before[-1]] if len(before) else limits[0]
    end = times[after[0]] if len(after) else limits[1]
    return begin, end


def _onset(
    loudness: np.ndarray, times: list[float], guess: float, middle: float, reach: float
) -> float:
    """Start of the first word; the time before the sound counts as a pause."""
    first, last = bisect_left(times, guess - reach), bisect_right(times, middle)
    part = loudness[first:last]
    if not len(part):
        return guess
    rise = _top(part) - part.min()
    if rise < _LEAST:  # the word fills the whole part, perhaps from the first sample on
        return guess if first else times[0]
    loud = np.flatnonzero(part > part.min() + _RISE * rise)
    return min(times[first + int(loud[0])], middle)


def _nearer(middle: float, guess: float) -> float:
    return middle + (guess - middle) / 5


def _top(loudness: np.ndarray) -> float:
    """Loudness of a word (dB); a word without frames has no pause beside it."""
    return float(np.percentile(loudness, 80)) if len(loudness) else float("-inf")
