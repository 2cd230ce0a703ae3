"""Laws of normalizing flows: inverses, Jacobians, densities, on parameters far from identity."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Distribution, Normal

from speechseq.errors import ConfigError
from speechseq.nn.flows import fit_activations, glow, iaf, maf, real_nvp

FLOWS = [real_nvp, glow, maf, iaf]
each_flow = pytest.mark.parametrize("build", FLOWS, ids=[f.__name__ for f in FLOWS])


def perturbed(build, dim: int, context: int = 0) -> nn.Module:
    """A flow in float64 whose log-determinants are far from zero."""
    flow = build(dim, layers=3, hidden=8, context=context).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return flow


def layers(flow: nn.Module) -> list:
    """The transforms of which a flow is composed, each also inverted."""
    return [t for layer in flow.transform.transforms for t in (layer(None), layer(None).inv)]


def log_determinants(transform, x: torch.Tensor) -> torch.Tensor:
    jacobians = torch.func.vmap(torch.func.jacrev(transform))(x)
    return torch.linalg.slogdet(jacobians).logabsdet


def grid(low: torch.Tensor, high: torch.Tensor, steps: int = 400) -> tuple[torch.Tensor, float]:
    """Midpoints (steps², 2) of the cells of a rectangle, and the area of a cell."""
    size = (high - low) / steps
    middles = torch.arange(steps).double() + 0.5
    axes = [a + s * middles for a, s in zip(low, size, strict=True)]
    return torch.cartesian_prod(*axes), float(size.prod())


@each_flow
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_inverse_undoes_the_transform(build, dim):
    transform, x = perturbed(build, dim)().transform, torch.randn(50, dim).double()
    assert (transform.inv(transform(x)) - x).abs().max() <= 1e-10
    assert (transform(transform.inv(x)) - x).abs().max() <= 1e-10


@each_flow
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_log_determinants_are_those_of_autograd_s_jacobian(build, dim):
    flow = perturbed(build, dim)
    x, whole = torch.randn(20, dim).double(), flow().transform
    for transform in (whole, whole.inv):
        wanted = log_determinants(transform, x)
        assert wanted.abs().max() > 0.1
        assert (transform.call_and_ladj(x)[1] - wanted).abs().max() <= 1e-8
    for transform in layers(flow):
        difference = transform.call_and_ladj(x)[1] - log_determinants(transform, x)
        assert difference.abs().max() <= 1e-8


@each_flow
def test_the_two_directions_have_opposite_log_determinants(build):
    for transform in layers(perturbed(build, 5)):
        x = torch.randn(20, 5).double()
        z, forward = transform.call_and_ladj(x)
        assert (transform.inv.call_and_ladj(z)[1] + forward).abs().max() <= 1e-10


@each_flow
def test_the_density_integrates_to_one_and_to_the_moments_of_the_draws(build):
    """Numerical integration over data against the same over the base: the change of variables."""
    torch.manual_seed(1)
    distribution = perturbed(build, 2)()
    with torch.no_grad():
        z, base_area = grid(torch.tensor([-7.0, -7.0]).double(), torch.tensor([7.0, 7.0]).double())
        drawn = distribution.transform.inv(z)
        x, area = grid(drawn.amin(0), drawn.amax(0), 600)
        density = distribution.log_prob(x).exp() * area
        base_density = Normal(0.0, 1.0).log_prob(z).sum(-1).exp() * base_area
    assert density.sum() == pytest.approx(1, abs=1e-3)
    for moment in (lambda x: torch.sin(x[:, 0] - x[:, 1]), lambda x: torch.tanh(x).prod(1)):
        over_data = (density * moment(x)).sum()
        over_base = (base_density * moment(drawn)).sum()
        assert abs(over_base) > 0.01
        assert over_data == pytest.approx(float(over_base), abs=1e-3)


@each_flow
def test_each_transform_keeps_integrals(build):
    """∫ g(T(x)) |det T'(x)| dx = ∫ g(z) dz for every transform of a flow, in both directions."""
    centre = torch.tensor([0.3, -0.2]).double()
    wide = torch.tensor([30.0, 30.0]).double()

    def bump(z: torch.Tensor) -> torch.Tensor:
        return torch.exp(-(z - centre).square().sum(-1))

    x, area = grid(-wide, wide, 500)
    for transform in layers(perturbed(build, 2)):
        with torch.no_grad():
            z, log_determinant = transform.call_and_ladj(x)
        integral = (bump(z) * log_determinant.exp()).sum() * area
        assert integral == pytest.approx(math.pi, rel=1e-3)


@each_flow
def test_draws_come_with_their_density(build):
    distribution = perturbed(build, 5)()
    x, log_prob = distribution.rsample_and_log_prob((100,))
    assert x.shape == (100, 5)
    assert torch.allclose(distribution.log_prob(x), log_prob, atol=1e-8)
    assert (distribution.base.log_prob(distribution.transform(x)) - log_prob).abs().max() > 0.1


@each_flow
def test_a_context_conditions_each_row(build):
    flow, context = perturbed(build, 3, context=4), torch.randn(6, 4).double()
    x = torch.randn(6, 3).double()
    alone = torch.stack([flow(c).log_prob(row) for c, row in zip(context, x, strict=True)])
    assert torch.allclose(flow(context).log_prob(x), alone, atol=1e-10)
    assert not torch.allclose(flow(context.flip(0)).log_prob(x), alone, atol=0.1)


def passes(flow: nn.Module, call) -> int:
    """Count the runs of a flow's networks, per layer."""
    networks = [m for m in flow.modules() if type(m).__name__ == "MaskedMLP"]
    runs = []
    handles = [m.register_forward_hook(lambda *_: runs.append(1)) for m in networks]
    call()
    for handle in handles:
        handle.remove()
    return len(runs) // len(networks)


def test_iaf_draws_in_one_pass_and_maf_scores_in_one_pass():
    for build, cheap_draw in ((iaf, True), (maf, False)):
        flow = build(5, layers=2, hidden=8)
        draw = passes(flow, lambda flow=flow: flow().rsample_and_log_prob((3,)))
        score = passes(flow, lambda flow=flow: flow().log_prob(torch.randn(3, 5)))
        cheap, dear = (draw, score) if cheap_draw else (score, draw)
        assert cheap == 1
        assert dear >= 5


def test_a_new_glow_s_linear_maps_are_rotations():
    """They have full rank, are well conditioned, and are not multiples of the identity."""
    flow = glow(5, layers=2, hidden=8).double()
    for first in (1, 5):
        lower_upper, permutation = (t(None) for t in flow.transform.transforms[first : first + 2])
        matrix = permutation(lower_upper(torch.eye(5).double()))
        assert torch.allclose(matrix @ matrix.T, torch.eye(5).double(), atol=1e-5)
        assert (matrix - torch.eye(5)).abs().max() > 0.1


def test_fitted_activations_have_mean_0_and_standard_deviation_1():
    flow = glow(4, layers=3, hidden=8).double()
    x = (torch.randn(200, 4) * torch.tensor([0.01, 1, 5, 100]) + 7).double()
    fit_activations(flow, x)
    with torch.no_grad():
        for i, layer in enumerate(flow.transform.transforms):
            x = layer(None)(x)
            if i % 4 == 0:
                assert x.mean(0).abs().max() < 1e-8
                assert (x.std(0) - 1).abs().max() < 1e-8


def test_a_fitted_constant_dimension_stays_finite():
    flow = glow(2, layers=2, hidden=8)
    x = torch.randn(10, 2) * torch.tensor([1.0, 0.0])
    fit_activations(flow, x)
    assert flow().log_prob(x).isfinite().all()


@each_flow
def test_a_flow_learns_a_correlated_law(build):
    """Maximum likelihood reaches the entropy of a normal with correlation .9."""
    factor = torch.tensor([[1.0, 0.0], [0.9, math.sqrt(0.19)]])
    flow = build(2, layers=2, hidden=16)
    optimizer = torch.optim.Adam(flow.parameters(), lr=5e-2)
    for _ in range(60):
        optimizer.zero_grad()
        (-flow().log_prob(torch.randn(128, 2) @ factor.T).mean()).backward()
        optimizer.step()
    entropy = 1 + math.log(2 * math.pi) + 0.5 * math.log(0.19)
    with torch.no_grad():
        cross_entropy = -flow().log_prob(torch.randn(20000, 2) @ factor.T).mean()
    assert cross_entropy == pytest.approx(entropy, abs=0.1)


def test_zuko_leaves_the_checks_of_other_distributions_on():
    """Imported, zuko switches them off for the whole process."""
    real_nvp(2)
    assert Distribution._validate_args
    with pytest.raises(ValueError, match="scale"):
        Normal(0.0, -1.0)


@pytest.mark.parametrize("name", ["dim", "layers", "hidden"])
@each_flow
def test_sizes_below_one_are_refused(build, name):
    sizes = {"dim": 2, "layers": 2, "hidden": 4} | {name: 0}
    with pytest.raises(ConfigError, match=f"{name} 0"):
        build(sizes["dim"], layers=sizes["layers"], hidden=sizes["hidden"])
