"""Distances of prosodies: nothing for equals, the shift for shifted ones, refusals that name."""

import importlib.util
import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from speechseq.audio.prosody_summary import Summary
from speechseq.errors import DataError
from speechseq.evaluation.prosody import f0_frame_error, prosody_distance, rows

needs_style = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("ot", "zuko"))),
    reason="needs the extra `style`",
)
NAN = math.nan


def _real(count: int, seed: int = 0) -> Tensor:
    """Rows of four measures in their units, some of them correlated."""
    draws = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    draws[:, 1] += 0.5 * draws[:, 0]
    return draws * torch.tensor([5.0, 0.8, 4.0, 0.4]) + torch.tensor([7.0, 3.0, -22.0, 1.2])


@needs_style
def test_equal_sets_have_no_distance_and_a_shift_has_its_length() -> None:
    real = _real(60)
    order = torch.randperm(60)
    same = prosody_distance(real[order], real)
    assert same.value < 1e-6
    assert 0.3 < same.null < 1.5
    shift = torch.tensor([2.0, -1.0, 0.5, 0.0]) * real.std(0, correction=0)
    moved = prosody_distance(real[order] + shift, real)
    assert moved.value == pytest.approx(math.sqrt(4 + 1 + 0.25), rel=1e-5)
    assert moved.null == pytest.approx(same.null)
    assert abs(moved.gap) < 1e-9


@needs_style
def test_the_distance_is_the_best_assignment() -> None:
    ours, real = _real(40, 1) + 1, _real(40, 2)
    x, y = ((z - real.mean(0)) / real.std(0, correction=0) for z in (ours, real))
    cost = torch.cdist(x.double(), y.double()).square().numpy()
    expected = np.sqrt(cost[linear_sum_assignment(cost)].mean())
    assert prosody_distance(ours, real).value == pytest.approx(expected, rel=1e-5)


@needs_style
def test_neither_units_nor_the_order_of_real_data_matter() -> None:
    ours, real = _real(50, 1), _real(80, 2)
    scale = torch.tensor([3.0, 0.1, 20.0, 1.0])
    one, other = prosody_distance(ours, real), prosody_distance(ours * scale, real * scale)
    assert one.value == pytest.approx(other.value, rel=1e-4)
    assert one.null == pytest.approx(other.null, rel=1e-4)
    # sorted data must not be split into its low and its high half
    ranked = real[real[:, 0].argsort()]
    assert prosody_distance(ours, ranked).null < 1.3 * one.null


@needs_style
def test_the_null_is_what_chance_gives() -> None:
    """Samples of one law of half the size are as far apart as the halves, on average."""
    ratios = []
    for seed in range(10):
        real, ours = _real(100, seed), _real(50, 1000 + seed)
        half = prosody_distance(ours, real[:50]).value
        ratios.append(half / prosody_distance(ours, real).null)
    assert abs(sum(ratios) / 10 - 1) < 0.15


@needs_style
def test_what_is_undefined_is_refused() -> None:
    real, ours = _real(10), _real(5)
    for value in (NAN, math.inf):
        bad = ours.clone()
        bad[3, 0] = value
        with pytest.raises(DataError, match="ours: f0 of utterance 3 is undefined") as caught:
            prosody_distance(bad, real)
        assert "without a voiced frame" in caught.value.cure
        with pytest.raises(DataError, match="real: f0 of utterance 3"):
            prosody_distance(real, bad)
    with pytest.raises(DataError, match="real: 3 utterances"):
        prosody_distance(ours, real[:3])
    with pytest.raises(DataError, match="ours: 0 utterances"):
        prosody_distance(ours[:0], real)
    with pytest.raises(DataError, match="3 columns"):
        prosody_distance(ours[:, :3], real)
    flat = real.clone()
    flat[:, 2] = -20
    with pytest.raises(DataError, match="real: energy is the same"):
        prosody_distance(ours, flat)


def test_rows_are_the_measures_in_order() -> None:
    columns = [torch.tensor([float(i), float(10 + i)]) for i in range(4)]
    stacked = rows(Summary(*columns))
    assert stacked.tolist() == [[0, 1, 2, 3], [10, 11, 12, 13]]


def test_frame_errors_are_counted_as_defined() -> None:
    real = torch.tensor([[NAN, 100, 100, 100, 100, NAN, 100, 100, 100, 100]])
    ours = torch.tensor([[NAN, 100, 119, 121, 79, 100, NAN, 200, 81, 50]])
    # wrong: 121 and 79 (over 20 %), voiced for unvoiced, unvoiced for voiced, 200, 50
    assert f0_frame_error(ours, real).tolist() == pytest.approx([0.6])
    assert f0_frame_error(real, real).tolist() == [0]
    silent = torch.full((1, 7), NAN)
    assert f0_frame_error(silent, silent).tolist() == [0]


def test_frame_errors_ignore_padding() -> None:
    real = torch.tensor([[100.0, 100, 100, 100], [100, 100, NAN, NAN]])
    ours = torch.tensor([[100.0, 300, 100, 100], [300, 100, 500, 500]])
    found = f0_frame_error(ours, real, torch.tensor([4, 2]))
    assert found.tolist() == pytest.approx([0.25, 0.5])
    with pytest.raises(DataError):
        f0_frame_error(ours, real, torch.tensor([4, 0]))
