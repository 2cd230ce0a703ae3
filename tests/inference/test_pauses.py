"""Boundaries move into the pauses that are there, and stay in order."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechseq.inference.pauses import into_pauses

RATE = 8000


def loud(*stretches: tuple[float, float], seconds: float = 2.0) -> torch.Tensor:
    """Noise, loud in the stretches (seconds) and 40 dB softer elsewhere: (1, samples)."""
    sound = torch.randn(1, int(seconds * RATE))
    level = torch.full_like(sound, 0.002)
    for start, end in stretches:
        level[:, int(start * RATE) : int(end * RATE)] = 0.2
    return sound * level


def test_words_end_and_begin_where_the_pause_does() -> None:
    true = [(0.3, 0.8), (1.0, 1.4), (1.45, 1.8)]
    guessed = [(0.22, 0.85), (0.85, 1.48), (1.48, 1.88)]
    for (start, end), expected in zip(into_pauses(guessed, loud(*true), RATE), true, strict=True):
        assert (start, end) == pytest.approx(expected, abs=0.021)


def test_words_without_a_pause_meet_at_the_softest_place() -> None:
    sound = loud((0.0, 2.0))
    sound[:, int(0.95 * RATE) : int(0.98 * RATE)] *= 0.7  # 3 dB: softer, yet no pause
    (_, end), (start, _) = into_pauses([(0.0, 1.0), (1.0, 2.0)], sound, RATE)
    assert end == start == pytest.approx(0.965, abs=0.02)


def test_a_pause_out_of_reach_is_another_one() -> None:
    sound = loud((0.0, 0.5), (0.7, 2.0))
    (_, end), (start, _) = into_pauses([(0.0, 1.2), (1.2, 2.0)], sound, RATE, reach=0.1)
    assert 1.1 <= end <= start <= 1.3


def test_sound_without_quiet_ends_reaches_its_ends() -> None:
    ((start, end),) = into_pauses([(0.05, 1.9)], loud((0.0, 2.0)), RATE)
    assert start <= 0.2
    assert end >= 1.75


def test_silence_and_snippets_keep_their_guesses_in_order() -> None:
    spans = [(0.2, 0.5), (0.5, 0.9)]
    assert into_pauses([], loud(), RATE) == []
    assert into_pauses(spans, torch.zeros(1, 100), RATE) == spans  # shorter than two looks
    flat = [edge for span in into_pauses(spans, torch.zeros(1, RATE), RATE) for edge in span]
    assert flat == sorted(flat)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0.0, 2.0), min_size=2, max_size=9), st.integers(0, 99))
def test_order_is_kept_whatever_is_guessed(edges: list[float], seed: int) -> None:
    torch.manual_seed(seed)
    sound = torch.randn(1, 2 * RATE) * torch.rand(40).repeat_interleave(RATE // 20).pow(4)
    marks = sorted(edges)
    spans = list(itertools.pairwise(marks))
    flat = [edge for span in into_pauses(spans, sound, RATE) for edge in span]
    assert flat == sorted(flat)
    assert all(0.0 <= edge <= 2.0 for edge in flat)


def test_no_word_vanishes_between_two_boundaries_that_seek_the_same_quiet() -> None:
    """Fluent speech: the quietest place near both boundaries of the middle word is within it."""
    sound = loud((0.0, 0.59), (0.61, 1.2))
    spans = into_pauses([(0.0, 0.5), (0.5, 0.7), (0.7, 1.2)], sound, RATE)
    assert all(end - start > 0.01 for start, end in spans)
