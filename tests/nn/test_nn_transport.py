"""Laws of optimal transport: duality, feasibility, slackness, and agreement with other solvers."""

import time

import pytest
import torch
from scipy.optimize import linprog
from scipy.stats import wasserstein_distance

from speechseq.errors import ConfigError, DataError
from speechseq.nn.transport import sinkhorn, sliced, transport, wasserstein_1d


def problem(rows: int, columns: int, dim: int = 3) -> tuple[torch.Tensor, ...]:
    x, y = torch.randn(rows, dim).double(), torch.randn(columns, dim).double() + 0.5
    a, b = torch.rand(rows).double() + 0.01, torch.rand(columns).double() + 0.01
    return torch.cdist(x, y).square(), a / a.sum(), b / b.sum()


def by_linear_program(cost, a, b) -> float:
    rows, columns = cost.shape
    of_rows = torch.eye(rows).repeat_interleave(columns, 1)
    of_columns = torch.eye(columns).repeat(1, rows)
    done = linprog(
        cost.flatten().numpy(),
        A_eq=torch.cat([of_rows, of_columns]).numpy(),
        b_eq=torch.cat([a, b]).numpy(),
        method="highs",
    )
    return done.fun


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (6, 4), (20, 25)])
def test_the_plan_is_optimal_and_proves_it(rows, columns):
    cost, a, b = problem(rows, columns)
    plan, value, (u, v), gap = transport(cost, a, b)
    assert plan.dtype == u.dtype == v.dtype == torch.float64
    assert (plan >= 0).all()
    assert torch.allclose(plan.sum(1), a, atol=1e-12)
    assert torch.allclose(plan.sum(0), b, atol=1e-12)
    slack = cost - u.unsqueeze(1) - v
    assert slack.min() >= -1e-9
    assert (plan * slack).abs().max() <= 1e-9, "mass moves where a potential is not tight"
    assert abs(gap) <= 1e-9
    assert value == pytest.approx(float((plan * cost).sum()), abs=1e-12)
    assert value - float(a @ u + b @ v) == pytest.approx(gap, abs=1e-12)
    assert value == pytest.approx(by_linear_program(cost, a, b), abs=1e-9)


def test_points_without_mass_get_feasible_potentials_and_nothing_else_changes():
    cost, a, b = problem(6, 7)
    a[2], b[:3] = 0, 0
    a, b = a / a.sum(), b / b.sum()
    plan, value, (u, v), gap = transport(cost, a, b)
    assert plan[2].sum() == plan[:, :3].sum() == 0
    assert u.isfinite().all()
    assert v.isfinite().all()
    assert (cost - u.unsqueeze(1) - v).min() >= -1e-9
    assert abs(gap) <= 1e-9
    kept = torch.tensor([0, 1, 3, 4, 5])
    assert value == pytest.approx(transport(cost[kept, 3:], a[kept], b[3:]).value, abs=1e-12)


def test_points_in_one_dimension_are_matched_in_order():
    x, y = torch.randn(50).double(), 2 * torch.randn(50).double()
    masses = torch.full((50,), 0.02).double()
    cost = (x.unsqueeze(1) - y).square()
    in_order = (x.sort().values - y.sort().values).square().mean()
    assert transport(cost, masses, masses).value == pytest.approx(float(in_order), abs=1e-12)


def test_a_thousand_points_take_less_than_a_second():
    cost, a, b = problem(1000, 1000, dim=4)
    transport(cost[:2, :2], *torch.full((2, 2), 0.5).double())  # imports POT
    started = time.process_time()
    assert abs(transport(cost, a, b).gap) <= 1e-9
    assert time.process_time() - started < 1


def test_single_precision_masses_that_sum_to_one_nearly_are_normalised():
    a, b = torch.full((7,), 1 / 7), torch.full((3,), 1 / 3)
    assert float(a.double().sum()) != 1
    plan = transport(torch.rand(7, 3), a, b).plan
    assert plan.sum() == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize("solve", [transport, sinkhorn])
@pytest.mark.parametrize(
    ("a", "message"),
    [
        ([0.5, 0.6], "sum to 1.1"),
        ([0.5, 0.5 + 1e-5], "sum to 1.00001"),
        ([1.5, -0.5], "negative"),
        ([float("nan"), 1.0], "NaN"),
        ([float("inf"), 0.0], "sum to inf"),
        ([0.0, 0.0], "sum to 0"),
        ([0.5, 0.25, 0.25], "3 and 2 masses"),
    ],
)
def test_bad_masses_are_refused(solve, a, message):
    good, bad = torch.tensor([0.5, 0.5]).double(), torch.tensor(a).double()
    with pytest.raises(DataError, match=message):
        solve(torch.eye(2), bad, good)
    with pytest.raises(DataError):
        solve(torch.eye(2), good, bad)


@pytest.mark.parametrize("solve", [transport, sinkhorn])
def test_costs_that_are_not_finite_are_refused(solve):
    masses = torch.tensor([0.5, 0.5])
    for bad in (float("nan"), float("inf")):
        with pytest.raises(DataError, match="not finite"):
            solve(torch.tensor([[0.0, bad], [1.0, 0.0]]), masses, masses)


@pytest.mark.parametrize("epsilon", [10.0, 0.5, 0.01])
@pytest.mark.parametrize("iterations", [1, 30])
def test_sinkhorn_s_interval_contains_the_exact_value(epsilon, iterations):
    """However few the iterations: its bounds are a feasible plan and feasible potentials."""
    for rows, columns in ((1, 4), (12, 9), (30, 30)):
        cost, a, b = problem(rows, columns)
        exact = transport(cost, a, b).value
        lower, upper, plan, (u, v) = sinkhorn(cost, a, b, epsilon=epsilon, iterations=iterations)
        assert lower - 1e-12 <= exact <= upper + 1e-12
        assert (plan >= 0).all()
        assert torch.allclose(plan.sum(1), a, atol=1e-12)
        assert torch.allclose(plan.sum(0), b, atol=1e-12)
        assert (cost - u.unsqueeze(1) - v).min() >= -1e-12


def test_sinkhorn_s_interval_closes_and_is_that_of_entropic_transport():
    cost, a, b = problem(15, 10)
    widths = []
    for epsilon in (1.0, 0.2, 0.05):
        interval = sinkhorn(cost, a, b, epsilon=epsilon, iterations=800)
        widths.append(float(interval.upper - interval.lower))
    assert widths[0] > widths[1] > widths[2]
    assert widths[2] < 0.02 * float(interval.upper)
    kernel, v = torch.exp(-cost / 0.5), torch.ones(10).double()
    for _ in range(500):  # Sinkhorn as in Cuturi 2013, on the scalings themselves
        u = a / (kernel @ v)
        v = b / (kernel.T @ u)
    wanted = u.unsqueeze(1) * kernel * v
    assert torch.allclose(sinkhorn(cost, a, b, epsilon=0.5).plan, wanted, atol=1e-9)


def test_sinkhorn_survives_large_costs_and_points_without_mass():
    cost, a, b = problem(6, 5)
    a[0] = 0
    a = a / a.sum()
    interval = sinkhorn(1e4 * cost, a, b)
    assert interval.lower <= 1e4 * transport(cost, a, b).value + 1e-6
    assert 1e4 * transport(cost, a, b).value <= interval.upper + 1e-6


def test_sinkhorn_s_bounds_have_the_gradients_of_finite_differences():
    cost, a, b = problem(4, 5)

    def bounds(cost: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return sinkhorn(cost, a, b, epsilon=0.5, iterations=10)[:2]

    assert torch.autograd.gradcheck(bounds, (cost.requires_grad_(),))


def test_sinkhorn_moves_points_to_a_law_in_single_precision():
    x = (torch.randn(16, 2) + 4).requires_grad_()
    y, masses = torch.randn(16, 2), torch.full((16,), 1 / 16)
    optimizer = torch.optim.Adam([x], lr=0.5)
    for _ in range(25):
        optimizer.zero_grad()
        cost = (x.unsqueeze(1) - y).square().sum(-1)
        sinkhorn(cost, masses, masses, epsilon=0.5, iterations=10).upper.backward()
        optimizer.step()
    assert x.grad.dtype == torch.float32
    assert (x.detach().mean(0) - y.mean(0)).abs().max() < 0.5


def test_sinkhorn_refuses_what_cannot_converge():
    masses = torch.tensor([1.0])
    for wrong in ({"epsilon": 0.0}, {"iterations": 0}, {"epsilon": float("nan")}):
        with pytest.raises(ConfigError):
            sinkhorn(torch.ones(1, 1), masses, masses, **wrong)


@pytest.mark.parametrize("p", [1, 2, 3.5])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 7), (4, 6), (9, 5), (1, 8)])
def test_the_distance_of_numbers_is_that_of_exact_transport(n, m, p):
    x, y = torch.randn(n).double(), torch.randn(m).double() + 1
    cost = (x.unsqueeze(1) - y).abs().pow(p)
    exact = transport(cost, torch.full((n,), 1 / n).double(), torch.full((m,), 1 / m).double())
    assert float(wasserstein_1d(x, y, p=p)) == pytest.approx(exact.value ** (1 / p), abs=1e-12)


def test_the_distance_of_numbers_agrees_with_scipy():
    x, y = torch.randn(101).double(), torch.randn(37).double()
    assert float(wasserstein_1d(x, y)) == pytest.approx(wasserstein_distance(x, y), abs=1e-12)


@pytest.mark.parametrize("p", [1, 2])
def test_the_distance_is_a_root_so_it_scales_with_the_data(p):
    x, y = torch.randn(30, 3).double(), torch.randn(20, 3).double()
    once, ten = (sliced(s * x, s * y, projections=9, p=p, seed=1) for s in (1, 10))
    assert ten == pytest.approx(10 * float(once))
    numbers = [wasserstein_1d(s * x[:, 0], s * y[:, 0], p=p) for s in (1, 10)]
    assert numbers[1] == pytest.approx(10 * float(numbers[0]))


def test_sliced_in_one_dimension_is_the_distance_of_numbers():
    x, y = torch.randn(9, 1).double(), torch.randn(6, 1).double()
    wanted = wasserstein_1d(x[:, 0], y[:, 0], p=2)
    assert sliced(x, y, projections=3, seed=0) == pytest.approx(float(wanted), abs=1e-12)


def test_a_shift_has_the_sliced_distance_of_its_mean_projection():
    """Each direction sees the shift's projection; its mean square is |shift|² / dim."""
    x, shift = torch.randn(10, 4).double(), torch.tensor([3.0, 0.0, 4.0, 0.0]).double()
    distance = sliced(x, x + shift, projections=20_000, seed=5)
    assert distance == pytest.approx(5 / 2, rel=0.02)


def test_directions_come_from_the_seed_alone():
    x, y = torch.randn(8, 3), torch.randn(8, 3) + 1
    state = torch.get_rng_state()
    first = sliced(x, y, projections=4, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert sliced(x, y, projections=4, seed=3) == first
    assert sliced(x, y, projections=4, seed=4) != first


@pytest.mark.parametrize("p", [1, 2])
def test_gradients_of_distances_are_finite_at_equal_samples_and_right_elsewhere(p):
    x = torch.randn(6, 2).double().requires_grad_()
    sliced(x, x.detach().clone(), projections=3, p=p, seed=0).backward()
    assert x.grad.isfinite().all()
    y = torch.randn(4, 2).double()
    assert torch.autograd.gradcheck(lambda x: sliced(x, y, projections=3, p=p, seed=0), (x,))


def test_empty_undefined_or_wrong_orders_are_refused():
    x = torch.zeros(3)
    with pytest.raises(DataError, match="0 values"):
        wasserstein_1d(torch.zeros(0), x)
    with pytest.raises(DataError, match="not finite"):
        wasserstein_1d(x, torch.tensor([0.0, float("nan")]))
    with pytest.raises(ConfigError, match=r"order 0\.5"):
        wasserstein_1d(x, x, p=0.5)
    with pytest.raises(ConfigError, match="0 projections"):
        sliced(torch.zeros(3, 2), torch.zeros(3, 2), projections=0, seed=0)
