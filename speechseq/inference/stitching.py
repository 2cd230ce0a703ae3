"""Stitching: joins the words of two overlapping windows to one sequence without duplicates."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from speechseq.inference.timestamps import Word

_FAR = 0.4  # seconds; words whose middles are this far apart are not the same word
_OTHER_TEXT = 0.4  # gain of pairing different texts for the same sound; equal texts have 1


def stitch(left: Sequence[Word], right: Sequence[Word], begin: float, end: float) -> list[Word]:
    """Join the words of two overlapping windows of a sound, so that each word is there once.

    A window may cut a word at its edge, so words in the first half of the overlap come from the
    left window, those in the second half from the right one. Words found in both windows are paired
    first, by time and text; otherwise a word that the windows place on different sides of the
    middle would be duplicated or lost.

    Args:
        left: words of the earlier window, in order of time.
        right: words of the later window, in order of time.
        begin: start of the overlap. All times are seconds from the start of the whole sound.
        end: end of the overlap.
    """
    middle = (begin + end) / 2
    pairs = same_words(left, right)
    means = [(_middle(left[i]) + _middle(right[j])) / 2 for i, j in pairs]
    early = sum(mean < middle for mean in means)  # pairs are in order of time
    last = pairs[early - 1] if early else (-1, -1)
    following = pairs[early] if early < len(pairs) else (len(left), len(right))
    alone_left = [w for w in left[last[0] + 1 : following[0]] if _middle(w) < middle]
    alone_right = [w for w in right[last[1] + 1 : following[1]] if _middle(w) >= middle]
    return _in_order([*left[: last[0] + 1], *alone_left, *alone_right, *right[following[1] :]])


def same_words(left: Sequence[Word], right: Sequence[Word]) -> list[tuple[int, int]]:
    """Pair the words that two overlapping windows have both recognised.

    Among all pairings that keep the order of the words, the best one is taken. The words of a pair
    have about the same time and equal texts, or overlap so much in time that they must be the same
    sound.

    Args:
        left: words of the earlier window, in order of time.
        right: words of the later window, in order of time.

    Returns:
        Pairs (index in `left`, index in `right`).
    """
    best = np.zeros((len(left) + 1, len(right) + 1))
    gains = np.array([[_gain(one, other) for other in right] for one in left])
    for i, j in np.ndindex(len(left), len(right)):
        best[i + 1, j + 1] = max(best[i, j + 1], best[i + 1, j], best[i, j] + gains[i, j])
    pairs, i, j = [], len(left), len(right)
    while i and j:
        if best[i, j] == best[i - 1, j]:
            i -= 1
        elif best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs[::-1]


def _gain(one: Word, other: Word) -> float:
    near = max(0.0, 1 - abs(_middle(one) - _middle(other)) / _FAR)
    if one.text == other.text:
        return near
    shared = min(one.end, other.end) - max(one.start, other.start)
    shorter = min(one.end - one.start, other.end - other.start)
    return near * _OTHER_TEXT if shared > shorter / 2 else 0.0


def _middle(word: Word) -> float:
    return (word.start + word.end) / 2


def _in_order(words: Sequence[Word]) -> list[Word]:
    """Make the starts and ends of words non-decreasing."""
    placed, last = [], 0.0
    for word in words:
        start = max(word.start, last)
        last = max(word.end, start)
        placed.append(dataclasses.replace(word, start=start, end=last))
    return placed
