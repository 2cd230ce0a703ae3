"""Optimal transport between samples: exact, with entropy, sliced, and of single numbers.

Kantorovich duality bounds the transport cost from both sides: the cost of any plan is an upper
bound, and potentials u, v with u_i + v_j ≤ c_ij give the lower bound Σ a_i u_i + Σ b_j v_j. Both
bounds are returned.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from speechseq import extras
from speechseq.errors import ConfigError, DataError

Cost = Float[Tensor, "rows columns"]
Potentials = tuple[Float[Tensor, " rows"], Float[Tensor, " columns"]]
_OFF = 1e-6  # how far a sum of masses may be from 1


class Plan(NamedTuple):
    """Result of `transport`: the optimal plan with a proof that it is optimal, in float64.

    A plan says which mass moves where. Potentials u, v with u_i + v_j ≤ c_ij bound the cost of
    every plan from below by Σ a_i u_i + Σ b_j v_j, the dual value.

    Attributes:
        plan: (rows, columns), the mass that moves from row i to column j.
        value: cost of the plan, Σ plan · cost.
        potentials: u (rows) and v (columns).
        gap: `value` less the dual value; no plan costs less than `value - gap`.
    """

    plan: Cost
    value: float
    potentials: Potentials
    gap: float


class Interval(NamedTuple):
    """Result of `sinkhorn`: bounds of the exact transport cost, in float64.

    Attributes:
        lower: Σ a_i u_i + Σ b_j v_j, the dual value of the potentials; no plan costs less.
        upper: cost of `plan`, Σ plan · cost.
        plan: (rows, columns), the mass that moves from row i to column j.
        potentials: u (rows) and v (columns), with u_i + v_j ≤ cost_ij.
    """

    lower: Float[Tensor, ""]
    upper: Float[Tensor, ""]
    plan: Cost
    potentials: Potentials


def transport(cost: Cost, a: Float[Tensor, " first"], b: Float[Tensor, " second"]) -> Plan:
    """Compute the exact optimal transport by POT's network simplex (Bonneel 2011).

    The potentials are made feasible by c-transforms, so the certificate does not rely on the
    solver. The result is not differentiable; the gradient of `value` in `cost` is `plan`.

    Args:
        cost: cost (rows, columns) of moving a unit of mass from row i to column j.
        a: masses (rows), at least 0, with sum 1 within 1e-6; they are normalised.
        b: masses (columns), under the same conditions.

    Returns:
        The optimal plan, its cost, and the potentials that prove it optimal.

    Raises:
        DataError: masses are negative, NaN or not normalised, or their number is not that of the
            cost's rows or columns; a cost is not finite; 10 million pivots found no optimal plan.
        MachineError: the extra `style` is not installed.
    """
    extras.need("style")
    from ot.lp import emd

    device, (cost, a, b) = cost.device, (t.detach().cpu() for t in _checked(cost, a, b))
    plan, log = emd(a.numpy(), b.numpy(), cost.numpy(), 10_000_000, log=True)
    if log["result_code"] != 1:
        problem = f"no optimal plan was found: {log['warning']}"
        raise DataError(problem, "scale the costs to a range near 1")
    moved = torch.from_numpy(plan)
    # without mass a point has no potential from the solver: the c-transforms give it one
    u = torch.from_numpy(log["u"]).masked_fill(a == 0, -torch.inf)
    v = (cost - u.unsqueeze(1)).amin(0)
    u = (cost - v).amin(1)
    value = float((moved * cost).sum())
    gap = value - float(a @ u + b @ v)
    return Plan(moved.to(device), value, (u.to(device), v.to(device)), gap)


def sinkhorn(
    cost: Cost,
    a: Float[Tensor, " first"],
    b: Float[Tensor, " second"],
    *,
    epsilon: float | int = 0.1,
    iterations: int = 300,
) -> Interval:
    """Bound the transport cost by entropic transport (Cuturi 2013) in the log domain.

    The potentials are made feasible by c-transforms, and the plan is rounded to the masses
    (Altschuler 2017), so that the bounds hold after any number of iterations. The bounds are
    differentiable through all iterations, which then keep several tensors of the cost's size each.

    Args:
        cost: cost (rows, columns) of moving a unit of mass from row i to column j.
        a: masses (rows), at least 0, with sum 1 within 1e-6; they are normalised.
        b: masses (columns), under the same conditions.
        epsilon: weight of the entropy, in units of the cost; a smaller weight gives closer bounds,
            but needs more iterations.
        iterations: number of updates of both potentials.

    Returns:
        Bounds of the cost, and the plan and potentials that prove them.

    Raises:
        DataError: masses are negative, NaN or not normalised, or their number is not that of the
            cost's rows or columns; a cost is not finite.
        ConfigError: epsilon not above 0 or iterations below 1.
    """
    if not epsilon > 0 or iterations < 1:
        problem = f"epsilon {epsilon} with {iterations} iterations"
        raise ConfigError(problem, "give an epsilon above 0 and at least 1 iteration")
    cost, a, b = _checked(cost, a, b)
    log_a, log_b, v = a.log(), b.log(), torch.zeros_like(b)
    for _ in range(iterations):
        u = -epsilon * torch.logsumexp(log_b + (v - cost) / epsilon, 1)
        v = -epsilon * torch.logsumexp((log_a + u / epsilon).unsqueeze(1) - cost / epsilon, 0)
    density = ((u.unsqueeze(1) + v - cost) / epsilon).exp()
    plan = _rounded(a.unsqueeze(1) * density * b, a, b)
    u = (cost - v).amin(1)
    v = (cost - u.unsqueeze(1)).amin(0)
    return Interval(a @ u + b @ v, (plan * cost).sum(), plan, (u, v))


def wasserstein_1d(
    x: Float[Tensor, " items"], y: Float[Tensor, " others"], *, p: float | int = 1
) -> Float[Tensor, ""]:
    """Compute the Wasserstein distance of order p between two samples of numbers.

    The distance is differentiable; its gradient at 0 is 0.

    Args:
        x: (items), the first sample.
        y: (others), the second sample, which may differ in size.
        p: order of the distance, at least 1.

    Returns:
        The distance, a scalar tensor.

    Raises:
        DataError: an empty sample, or values that are not finite.
        ConfigError: p below 1.
    """
    return _root(_powers(x.unsqueeze(1), y.unsqueeze(1), p).mean(), p)


def sliced(
    x: Float[Tensor, "items dim"],
    y: Float[Tensor, "others dim"],
    *,
    projections: int,
    p: float | int = 2,
    seed: int,
) -> Float[Tensor, ""]:
    """Return the sliced Wasserstein distance (Rabin 2011), (mean over directions of W_p^p)^(1/p).

    W_p is the distance of order p of the samples projected on a direction (`wasserstein_1d`). The
    result is differentiable.

    Args:
        x, y: samples (items, dim) and (others, dim), of the same or different sizes.
        projections: number of directions, uniform on the sphere.
        p: order of the distance.
        seed: seed of the directions, drawn on the CPU; torch's global generator is not used.

    Returns:
        The distance, a scalar tensor.

    Raises:
        DataError: an empty sample, or values that are not finite.
        ConfigError: p or projections below 1.
    """
    if projections < 1:
        raise ConfigError(f"{projections} projections", "give at least 1")
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(x.shape[1], projections, generator=generator, dtype=torch.float64)
    directions = (directions / directions.norm(dim=0)).to(x)
    return _root(_powers(x @ directions, y @ directions, p).mean(), p)


def _powers(x: Tensor, y: Tensor, p: float | int) -> Tensor:
    """W_p^p (columns) of each column of x (n, columns) and y (m, columns)."""
    if not p >= 1:
        raise ConfigError(f"a Wasserstein distance of order {p}", "give p of at least 1")
    for values in (x, y):
        if not len(values) or not values.isfinite().all():
            problem = f"a sample of {len(values)} values is empty or not finite"
            raise DataError(problem, "leave undefined values out and give at least one")
    (n, m), device = (len(x), len(y)), x.device
    # the levels i/n and j/m at which a quantile function jumps, as integers over n·m
    jumps = [m * torch.arange(1, n + 1, device=device), n * torch.arange(1, m + 1, device=device)]
    levels = torch.cat(jumps).sort().values
    widths = levels.diff(prepend=levels.new_zeros(1)).to(x.dtype) / (n * m)
    differences = x.sort(0).values[(levels - 1) // m] - y.sort(0).values[(levels - 1) // n]
    return widths @ differences.abs().pow(p)


def _root(power: Tensor, p: float | int) -> Tensor:
    """The p-th root, with gradient 0 at 0, where that of a root is not finite."""
    positive = power > 0
    return torch.where(positive, torch.where(positive, power, 1.0).pow(1 / p), 0.0)


def _rounded(plan: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The plan with exactly the masses a and b, near the given one (Altschuler 2017, alg. 2)."""
    tiny = torch.finfo(plan.dtype).tiny
    plan = plan * (a / plan.sum(1).clamp_min(tiny)).clamp_max(1.0).unsqueeze(1)
    plan = plan * (b / plan.sum(0).clamp_min(tiny)).clamp_max(1.0)
    rows, columns = (a - plan.sum(1)).clamp_min(0.0), (b - plan.sum(0)).clamp_min(0.0)
    return plan + rows.unsqueeze(1) * columns / rows.sum().clamp_min(tiny)


def _checked(cost: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cost and normalised masses in float64, after checks."""
    if cost.shape != (len(a), len(b)) or not cost.numel():
        problem = f"a cost of shape {tuple(cost.shape)} for {len(a)} and {len(b)} masses"
        raise DataError(problem, "give one mass for each row and column, at least one of each")
    if not cost.isfinite().all():
        raise DataError("a cost is not finite", "leave undefined points out")
    for name, masses in (("a", a), ("b", b)):
        if not (masses >= 0).all():
            raise DataError(f"a mass of {name} is negative or NaN", "give masses of at least 0")
        if not abs(float(masses.double().sum()) - 1) <= _OFF:
            problem = f"the masses of {name} sum to {float(masses.double().sum()):g}"
            raise DataError(problem, f"divide {name} by its sum")
    a, b = a.double(), b.double()
    return cost.double(), a / a.sum(), b / b.sum()
