"""Word times: from alignments whose boundaries are known, and against brute force."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechseq.inference.timestamps import (
    WordTokens,
    attention_places,
    ctc_places,
    word_spans,
    word_tokens,
)
from speechseq.text.vocabulary import BLANK, EOS, SOS, Vocabulary

VOCABULARY = Vocabulary.transcripts("abcdefghijklmnopqrstuvwxyz '")


class Pieces:
    """Units of several characters; "_" begins a word, as sentencepiece does it."""

    def __init__(self, *units: str) -> None:
        self.units = units

    def decode(self, ids: list[int]) -> str:
        return "".join(self.units[i] for i in ids).replace("_", " ").strip()


def encode(text: str) -> list[int]:
    return VOCABULARY.encode(text)[:-1]


def test_characters_are_split_at_spaces() -> None:
    assert word_tokens(encode("one two  six"), VOCABULARY.decode) == [
        WordTokens("one", 0, 3),
        WordTokens("two", 4, 7),
        WordTokens("six", 9, 12),
    ]
    assert word_tokens(encode(" a "), VOCABULARY.decode) == [WordTokens("a", 1, 2)]
    assert word_tokens(encode("   "), VOCABULARY.decode) == []
    assert word_tokens([], VOCABULARY.decode) == []
    assert word_tokens([SOS, *encode("ab"), EOS], VOCABULARY.decode) == [WordTokens("ab", 1, 3)]


def test_pieces_and_whole_words_belong_to_the_word_they_spell() -> None:
    pieces = Pieces("_sev", "en", "_two", "_", "o", "_a_b")
    assert word_tokens([0, 1, 2], pieces.decode) == [
        WordTokens("seven", 0, 2),
        WordTokens("two", 2, 3),
    ]
    assert word_tokens([2, 3, 4, 1], pieces.decode) == [
        WordTokens("two", 0, 1),
        WordTokens("oen", 2, 4),
    ]
    assert word_tokens([2, 5, 1], pieces.decode) == [
        WordTokens("two", 0, 1),
        WordTokens("a", 1, 2),
        WordTokens("ben", 1, 3),
    ]


def planted(centres: list[float], positions: int, width: float, floor: float) -> torch.Tensor:
    """Each step looks at a bell of that width around its place, and a little everywhere."""
    middles = torch.arange(positions) + 0.5
    bells = torch.stack([(-0.5 * ((middles - c) / width) ** 2).exp() for c in centres])
    return (1 - floor) * bells / bells.sum(1, keepdim=True) + floor / positions


@pytest.mark.parametrize(("width", "floor"), [(0.3, 0.0), (1.0, 0.0), (2.5, 0.0), (1.0, 0.1)])
def test_places_of_a_planted_alignment(width: float, floor: float) -> None:
    centres = [4.5, 7.0, 9.5, 13.0, 20.5, 24.0]
    places = attention_places(planted(centres, 32, width, floor))
    assert places == pytest.approx(centres, abs=0.75 if floor else 0.5)


def test_a_glance_far_off_moves_no_place() -> None:
    """A mean would move by 0.2 × 25 positions."""
    alignment = torch.zeros(3, 40)
    alignment[0, 5], alignment[1, 10], alignment[2, 12] = 0.8, 1.0, 1.0
    alignment[0, 30] = 0.2
    assert attention_places(alignment)[0] == pytest.approx(5.6, abs=0.5)


def test_a_blurred_step_yields_to_its_sharp_neighbours() -> None:
    alignment = planted([5.0, 10.0, 15.0, 20.0], 30, 0.4, 0.0)
    alignment[1] = 1 / 30
    alignment[1, 25] += 0.5
    alignment[1] /= alignment[1].sum()
    places = attention_places(alignment)
    assert places[0] == pytest.approx(5.0, abs=0.5)
    assert places[3] == pytest.approx(20.0, abs=0.5)
    assert 5.0 <= places[1] <= places[2] < 19.0


@pytest.mark.parametrize("filled", [0.0, float("nan")])
def test_rows_of_nothing_are_survived(filled: float) -> None:
    assert attention_places(torch.full((2, 6), filled)) == pytest.approx([3.0, 3.0])
    assert attention_places(torch.zeros(0, 6)) == []
    assert attention_places(torch.zeros(2, 0)) == [0.0, 0.0]


def test_words_of_a_planted_alignment_meet_between_them() -> None:
    text = "one two six"
    centres = [2.0, 3.0, 4.0, 6.0, 8.0, 9.0, 10.0, 12.0, 13.0, 14.0, 15.0]
    places = attention_places(planted(centres, 20, 0.6, 0.01))
    spans = word_spans(word_tokens(encode(text), VOCABULARY.decode), places, 20, 2.0)
    expected = [(0.0, 6.0), (6.0, 11.5), (11.5, 15.5)]
    for (start, end), (true_start, true_end) in zip(spans, expected, strict=True):
        assert (start, end) == pytest.approx((true_start, true_end), abs=0.5)


def test_words_of_pieces_meet_half_way() -> None:
    words = [WordTokens("seven", 0, 2), WordTokens("two", 2, 3)]
    spans = word_spans(words, [2.0, 4.0, 9.0], 12, 1.0)
    assert spans == [(1.0, 6.5), (6.5, 9.5)]


def test_a_word_read_from_its_first_sounds_lasts_until_the_next_begins() -> None:
    """All of a word is written at one place, and the space where the next word begins."""
    words = [WordTokens("seven", 0, 5), WordTokens("two", 6, 9)]
    places = [3.0] * 5 + [20.0] * 4
    assert word_spans(words, places, 40, 2.0) == [(1.0, 18.0), (18.0, 20.5)]
    assert word_spans(words, [*places, 27.0], 40, 2.0)[1] == (18.0, 27.0)  # eos looked there


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 12), st.integers(1, 10), st.integers(0, 10**6))
def test_spans_are_in_order_and_within_the_sound(count: int, positions: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    tokens = [encode("ab ")[i] for i in torch.randint(3, (count,), generator=draw)]
    alignment = torch.rand(count, positions, generator=draw).pow(6)
    words = word_tokens(tokens, VOCABULARY.decode)
    spans = word_spans(words, attention_places(alignment), positions, 1.0)
    assert len(spans) == len(words)
    flat = [edge for span in spans for edge in span]
    assert flat == sorted(flat)
    assert all(0 <= edge <= positions for edge in flat)


def likeliest(log_probs: torch.Tensor, tokens: list[int]) -> float:
    """Find the likeliest path that spells the tokens by trying all paths."""
    positions, symbols = log_probs.shape
    best = -float("inf")
    for path in itertools.product(range(symbols), repeat=positions):
        spelt = [symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK]
        if spelt == tokens:
            best = max(best, sum(float(log_probs[t, s]) for t, s in enumerate(path)))
    return best


@pytest.mark.parametrize("tokens", [[4], [4, 5], [4, 4], [5, 4, 5], [4, 4, 5]])
def test_ctc_places_lie_on_the_likeliest_path(tokens: list[int]) -> None:
    """The path through the found places has the brute-force optimum's probability."""
    log_probs = torch.full((5, 6), -1e30)
    log_probs[:, 3:] = torch.randn(5, 3).mul(2).log_softmax(1)
    places = ctc_places(log_probs, tokens)
    assert places == sorted(places)
    assert len(places) == len(tokens)
    best = likeliest(log_probs, tokens)
    assert max(_through(log_probs, tokens, places)) == pytest.approx(best, abs=1e-4)


def _through(log_probs: torch.Tensor, tokens: list[int], places: list[float]) -> list[float]:
    """Log-probabilities of all paths whose runs of the tokens have these middles."""
    found = []
    for path in itertools.product(range(3, 6), repeat=len(log_probs)):
        runs = [(symbol, len(list(run))) for symbol, run in itertools.groupby(path)]
        ends = list(itertools.accumulate(length for _, length in runs))
        spelt = [
            (symbol, end - length / 2)
            for (symbol, length), end in zip(runs, ends, strict=True)
            if symbol != BLANK
        ]
        if spelt == list(zip(tokens, places, strict=True)):
            found.append(sum(float(log_probs[t, s]) for t, s in enumerate(path)))
    return found


def test_tokens_without_room_are_spread() -> None:
    log_probs = torch.zeros(2, 6).log_softmax(1)
    assert ctc_places(log_probs, [4, 4]) == [0.5, 1.5]  # the blank between them has no room
    assert ctc_places(log_probs, [4, 5, 4, 5]) == [0.25, 0.75, 1.25, 1.75]
    assert ctc_places(log_probs, []) == []
