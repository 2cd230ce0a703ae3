"""Laws of the maximum mean discrepancy, and what its biased form is off by."""

import math
import statistics

import pytest
import torch

from speechseq.errors import ConfigError, DataError
from speechseq.nn.mmd import SCALES, mmd

DIM = 8
both_kernels = pytest.mark.parametrize("kernel", ["imq", "rbf"])


def by_loops(x, y, kernel: str, statistic: str, sigma: float | int) -> float:
    """The definition, pair by pair, without tensors."""

    def k(a, b) -> float:
        squared = sum((p - q) ** 2 for p, q in zip(a, b, strict=True))
        scales = [2 * len(a) * sigma**2 * s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10)]
        if kernel == "imq":
            return sum(c / (c + squared) for c in scales)
        return sum(math.exp(-squared / c) for c in scales)

    def within(points) -> float:
        n = len(points)
        pairs = [(i, j) for i in range(n) for j in range(n) if statistic == "v" or i != j]
        return sum(k(points[i], points[j]) for i, j in pairs) / len(pairs)

    across = sum(k(a, b) for a in x for b in y) / (len(x) * len(y))
    return within(x) + within(y) - 2 * across


@both_kernels
@pytest.mark.parametrize("statistic", ["u", "v"])
def test_it_is_the_definition(kernel, statistic):
    x, y = torch.randn(5, 3).double(), 2 * torch.randn(7, 3).double() + 1
    value = mmd(x, y, kernel=kernel, statistic=statistic, sigma=2)
    assert float(value) == pytest.approx(by_loops(x.tolist(), y.tolist(), kernel, statistic, 2))


def null_draws(draws: int, n: int, kernel: str, statistic: str) -> list[float]:
    return [
        float(mmd(torch.randn(n, DIM), torch.randn(n, DIM), kernel=kernel, statistic=statistic))
        for _ in range(draws)
    ]


@both_kernels
def test_the_u_statistic_has_no_bias(kernel):
    values = null_draws(2000, 16, kernel, "u")
    assert min(values) < 0
    error = statistics.stdev(values) / math.sqrt(len(values))
    assert abs(statistics.mean(values)) <= 3 * error


def expected_kernel(kernel: str, spread: float, shift: float) -> float:
    """E k(x, y) over differences N(shift in one dimension, spread·I), as an integral.

    c/(c + r) is ∫ exp(−t(c + r)/c) dt, and E exp(−λ‖difference‖²) is known.
    """

    def laplace(rate: torch.Tensor) -> torch.Tensor:
        width = 1 + 2 * spread * rate
        return width ** (-DIM / 2) * torch.exp(-rate * shift**2 / width)

    scales = 2 * DIM * torch.tensor(SCALES).double()
    if kernel == "rbf":
        return float(laplace(1 / scales).sum())
    t = (torch.arange(200_000).double() + 0.5) * 2e-4
    return sum(float((torch.exp(-t) * laplace(t / c)).sum() * 2e-4) for c in scales)


@pytest.mark.parametrize(("n", "bias"), [(16, 0.43), (32, 0.21), (100, 0.07)])
def test_the_v_statistic_s_bias_is_that_of_the_diagonal(n, bias):
    """2/n · (k(0) − E k): more than a shift of one standard deviation is worth, at n = 32."""
    computed = 2 / n * (len(SCALES) - expected_kernel("imq", 2.0, 0.0))
    assert computed == pytest.approx(bias, rel=0.06)
    values = null_draws(100, n, "imq", "v")
    error = statistics.stdev(values) / math.sqrt(len(values))
    assert abs(statistics.mean(values) - computed) <= 4 * error


def test_a_shift_of_one_standard_deviation_is_worth_014():
    worth = 2 * (expected_kernel("imq", 2.0, 0.0) - expected_kernel("imq", 2.0, 1.0))
    assert worth == pytest.approx(0.14, abs=0.005)
    shift = torch.eye(DIM)[0]
    values = [float(mmd(torch.randn(100, DIM) + shift, torch.randn(100, DIM))) for _ in range(100)]
    error = statistics.stdev(values) / math.sqrt(len(values))
    assert abs(statistics.mean(values) - worth) <= 4 * error


@both_kernels
@pytest.mark.parametrize("statistic", ["u", "v"])
def test_gradients_are_finite_at_coincident_points(kernel, statistic):
    x = torch.ones(4, 3, requires_grad=True)
    mmd(x, torch.ones(5, 3), kernel=kernel, statistic=statistic).backward()
    assert x.grad.isfinite().all()


@both_kernels
def test_gradients_bring_one_law_to_the_other(kernel):
    shift = torch.tensor([3.0, -3.0], requires_grad=True)
    optimizer = torch.optim.Adam([shift], lr=0.2)
    for _ in range(60):
        optimizer.zero_grad()
        mmd(torch.randn(64, 2) + shift, torch.randn(64, 2), kernel=kernel).backward()
        optimizer.step()
    assert shift.detach().abs().max() < 0.4


def test_the_imq_kernel_pulls_far_points_that_the_rbf_kernel_has_lost():
    pulls = {}
    for kernel in ("imq", "rbf"):
        x = torch.full((2, 1), 100.0, requires_grad=True)
        mmd(x, torch.zeros(2, 1), kernel=kernel, statistic="v").backward()
        pulls[kernel] = float(x.grad.abs().max())
    assert pulls["rbf"] == 0
    assert pulls["imq"] > 1e-6


@pytest.mark.parametrize(("items", "others"), [(1, 5), (5, 1), (0, 5)])
def test_fewer_than_two_points_are_refused(items, others):
    with pytest.raises(DataError, match="at least 2 points"):
        mmd(torch.zeros(items, 3), torch.zeros(others, 3))


def test_unknown_names_and_scales_are_refused():
    x = torch.zeros(3, 2)
    with pytest.raises(ConfigError, match="kernel 'linear'"):
        mmd(x, x, kernel="linear")
    with pytest.raises(ConfigError, match="statistic 'w'"):
        mmd(x, x, statistic="w")
    with pytest.raises(ConfigError, match="sigma 0"):
        mmd(x, x, sigma=0.0)
