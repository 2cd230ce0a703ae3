"""Words of overlapping windows are joined with none lost and none doubled."""

import itertools

import numpy as np
import pytest

from speechseq.inference.stitching import same_words, stitch
from speechseq.inference.timestamps import Word


def word(text: str, start: float, end: float) -> Word:
    return Word(text=text, start=start, end=end, confidence=0.5)


def texts(words: list[Word]) -> list[str]:
    return [w.text for w in words]


def spoken(count: int, seed: int, vocabulary: int = 3) -> list[Word]:
    """Words of 0.25 to 0.6 seconds, some after a pause; few texts, so that many repeat."""
    draw, clock, words = np.random.default_rng(seed), 0.0, []
    for _ in range(count):
        clock += float(draw.choice([0.0, 0.0, 0.05, 0.5]))
        length = float(draw.uniform(0.25, 0.6))
        words.append(word(f"w{draw.integers(vocabulary)}", clock, clock + length))
        clock += length
    return words


def heard(words: list[Word], begin: float, end: float, jitter: float, seed: int) -> list[Word]:
    """Return the words in a window: whole ones at jittered times, cut ones as "fragment"."""
    draw, out = np.random.default_rng(seed), []
    for w in words:
        start, stop = max(w.start, begin), min(w.end, end)
        if stop - start < 0.1:
            continue
        whole = w.start >= begin and w.end <= end
        shift = float(draw.uniform(-jitter, jitter))
        out.append(word(w.text if whole else "fragment", start + shift, stop + shift))
    return out


@pytest.mark.parametrize("seed", range(20))
def test_no_word_is_lost_or_doubled(seed: int) -> None:
    """Windows anywhere, cut in the middle of words; times off by up to 100 ms in each."""
    words = spoken(60, seed)
    total = words[-1].end
    joined: list[Word] = []
    begin, last_end, index = 0.0, 0.0, 0
    draw = np.random.default_rng(seed)
    while True:
        end = min(begin + 5.0, total)
        window = heard(words, begin, end, 0.1, seed=100 * seed + index)
        joined = stitch(joined, window, begin, last_end) if index else window
        if end == total:
            break
        begin, last_end, index = end - float(draw.uniform(1.5, 2.0)), end, index + 1
    assert texts(joined) == texts(words)
    assert all(one.end <= other.start for one, other in itertools.pairwise(joined))
    errors = [abs(a.start - b.start) for a, b in zip(joined, words, strict=True)]
    assert max(errors) <= 0.2


def test_a_word_whose_two_times_lie_on_either_side_of_the_middle() -> None:
    """Each half of the overlap alone would keep both hearings, or neither."""
    before, after = word("five", 9.0, 9.8), word("five", 9.3, 10.1)
    for left, right in ((before, after), (after, before)):
        assert texts(
            stitch([word("two", 1.0, 2.0), left], [right, word("six", 12.0, 13.0)], 8.0, 11.0)
        ) == [*("two", "five", "six")]


def test_two_hearings_of_one_stretch_are_one_word() -> None:
    left = [word("seven", 4.6, 5.1)]
    right = [word("eleven", 4.8, 5.3), word("two", 5.4, 5.8)]
    assert texts(stitch(left, right, 3.8, 5.8)) == ["eleven", "two"]  # nearer to the left's edge
    assert texts(stitch(left, right, 4.5, 6.5)) == ["seven", "two"]


def test_words_side_by_side_are_two() -> None:
    left, right = [word("one", 4.6, 5.0)], [word("two", 5.0, 5.4)]
    assert texts(stitch(left, right, 4.0, 6.0)) == ["one", "two"]


def test_a_word_that_repeats_is_paired_in_order() -> None:
    row = [word("one", 0.4 * i, 0.4 * i + 0.4) for i in range(6)]
    late = [word("one", w.start + 0.1, w.end + 0.1) for w in row]
    assert same_words(row, late[:5]) == [(i, i) for i in range(5)]
    assert same_words(row[2:], late) == [(i, i + 2) for i in range(4)]
    assert len(stitch(row[:4], late[1:], 0.4, 1.6)) == 6


def test_a_window_is_believed_away_from_its_edge() -> None:
    only_left, only_right = word("left", 8.5, 8.9), word("right", 8.5, 8.9)
    assert texts(stitch([only_left], [], 8.0, 12.0)) == ["left"]
    assert texts(stitch([], [only_right], 8.0, 12.0)) == []
    assert texts(stitch([only_left], [], 5.0, 9.0)) == []
    assert texts(stitch([], [only_right], 5.0, 9.0)) == ["right"]


def test_silence_on_either_side() -> None:
    words = [word("one", 1.0, 1.4)]
    assert stitch([], [], 3.0, 5.0) == []
    assert stitch(words, [], 3.0, 5.0) == words
    assert stitch([], [word("two", 6.0, 6.4)], 3.0, 5.0) == [word("two", 6.0, 6.4)]
