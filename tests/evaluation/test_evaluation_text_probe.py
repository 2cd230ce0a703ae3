"""Probe of codes for text: finds what is there, and finds nothing where there is nothing."""

import pytest
import torch

from speechseq.corpus import spoken_digits
from speechseq.evaluation.text_probe import text_probe

TEXTS = spoken_digits.texts(360, 0, shortest=2)


def probed(codes: torch.Tensor) -> dict[str, float]:
    found = text_probe(codes[:300], TEXTS[:300], codes[300:], TEXTS[300:])
    assert found is not None
    return found


def test_codes_that_hold_the_first_word_are_read():
    codes = torch.randn(360, 12)
    codes[:, :10] = 3 * torch.eye(10)[[spoken_digits.WORDS.index(t.split()[0]) for t in TEXTS]]
    found = probed(codes + 0.3 * torch.randn(360, 12))
    assert found["words"] == 120
    assert found["accuracy"] == pytest.approx((1 + found["permuted"]) / 2, abs=0.08)


def test_codes_without_text_are_read_at_chance():
    found = probed(torch.randn(360, 4, 3))
    assert found["permuted"] == pytest.approx(0.1, abs=0.02)
    assert abs(found["accuracy"] - found["permuted"]) < 3 * found["spread"] + 0.01


def test_the_number_of_words_is_no_text():
    """A code that holds an utterance's duration is not said to hold its words."""
    lengths = torch.tensor([[float(len(text.split()))] for text in TEXTS])
    found = probed(torch.cat([lengths, torch.randn(360, 3)], 1))
    assert abs(found["accuracy"] - found["permuted"]) < 3 * found["spread"] + 0.01


def test_texts_without_a_common_word_are_not_probed():
    assert text_probe(torch.randn(3, 2), ["a b", "c d", "e f"], torch.randn(1, 2), ["a b"]) is None
