"""Regression of prosody on codes: it fits no noise, and its moves stay where codes are."""

import numpy as np
import pytest
import torch

from speechseq.evaluation.style_regression import MEASURES, recovered, regression


def correlated(items: int, seed: int) -> tuple[torch.Tensor, np.ndarray]:
    """Codes of 100 elements that three factors move, beside noise; the factors are the prosody."""
    own, mixing = np.random.default_rng(seed), np.random.default_rng(0).normal(size=(3, 100))
    factors = own.normal(size=(items, 3)) * [1.0, 2.0, 0.5]
    codes = factors @ mixing + own.normal(size=(items, 100))
    targets = np.stack([factors[:, 0], factors[:, 1], factors[:, 2], own.normal(size=items)], 1)
    return torch.from_numpy(codes), targets


def test_long_codes_predict_held_out_utterances_where_least_squares_does_not() -> None:
    codes, targets = correlated(110, 1)
    held, truth = correlated(200, 2)
    found = recovered(regression(codes, targets), held, truth)
    plain = np.linalg.lstsq(codes.numpy(), targets, rcond=None)[0]
    wrong = truth - held.numpy() @ plain
    assert 1 - wrong[:, 2].var() / truth[:, 2].var() < 0.5
    for name, least in zip(MEASURES, (0.9, 0.9, 0.8, -0.2), strict=True):
        assert found[name] > least


def test_moves_are_those_of_the_factors() -> None:
    codes, targets = correlated(2000, 1)
    mixing = np.random.default_rng(0).normal(size=(3, 100))
    moves = regression(codes, targets).moves[:3]
    for move, expected in zip(moves, mixing * [[1.0], [2.0], [0.5]], strict=True):
        cosine = move @ expected / np.linalg.norm(move) / np.linalg.norm(expected)
        assert cosine > 0.98
        assert np.linalg.norm(move) == pytest.approx(np.linalg.norm(expected), rel=0.1)


def test_independent_elements_move_by_the_slopes_in_standard_deviations() -> None:
    own = np.random.default_rng(3)
    codes = own.normal(size=(5000, 3)) * [1.0, 4.0, 0.1] + [5.0, 0.0, -2.0]
    targets = np.stack([codes[:, i % 3] * 2 + codes[:, 0] for i in range(4)], 1)
    fitted = regression(torch.from_numpy(codes), targets)
    np.testing.assert_allclose(fitted.coefficients[1], [1.0, 2.0, 0.0, 0.0], atol=1e-3)
    steps = fitted.coefficients[:, :-1] * codes.std(0) ** 2
    steps /= np.linalg.norm(fitted.coefficients[:, :-1] * codes.std(0), axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.moves, steps, atol=0.15)


def test_constant_elements_undefined_rows_and_no_rows_make_no_nan() -> None:
    codes, targets = torch.randn(6, 2, 2), np.random.default_rng(0).normal(size=(6, 4))
    codes[:, 0] = 0.25
    targets[1, 0] = np.nan
    for kept in (targets, np.full((6, 4), np.nan), targets[:1].repeat(6, 0)):
        fitted = regression(codes, kept)
        assert np.isfinite(fitted.coefficients).all()
        assert np.isfinite(fitted.moves).all()
        assert not fitted.moves[:, :2].any()
