"""Gradient estimators against analytic gradients and variances.

Two settings with known answers: z ~ N(θ, 1) at θ = 0 and z ~ Gamma(θ, 1) at θ = 2, both with
f(z) = (z − 3)². E f is θ² − 6θ + 10 and θ² − 5θ + 9, its derivatives −6 and −1.
"""

import math

import pytest
import torch
from scipy import integrate, special, stats
from torch.distributions import Bernoulli, Beta, Exponential, Gamma, Independent, Normal

from speechseq.errors import ConfigError
from speechseq.nn.estimators import (
    generalised,
    implicit,
    reparameterised,
    score,
    score_with_control,
)

ESTIMATORS = [reparameterised, implicit, generalised, score, score_with_control]
each_estimator = pytest.mark.parametrize("estimate", ESTIMATORS, ids=lambda e: e.__name__)
SAMPLES = 100_000


def f(z: torch.Tensor) -> torch.Tensor:
    return (z - 3) ** 2


def normal(theta: torch.Tensor) -> Normal:
    return Normal(theta, 1.0)


def gamma(theta: torch.Tensor) -> Gamma:
    return Gamma(theta, torch.ones_like(theta))


NORMAL, GAMMA = (normal, torch.tensor(0.0).double()), (gamma, torch.tensor(2.0).double())


def is_mean(draws: torch.Tensor, wanted: float, errors: float = 4) -> bool:
    return abs(float(draws.mean()) - wanted) <= errors * float(draws.std()) / math.sqrt(len(draws))


@each_estimator
@pytest.mark.parametrize(("law", "truth"), [(NORMAL, -6), (GAMMA, -1)], ids=["normal", "gamma"])
def test_every_estimator_has_the_analytic_gradient_as_its_mean(estimate, law, truth):
    draws = estimate(f, *law, samples=SAMPLES, seed=0)
    assert draws.shape == (SAMPLES,)
    assert is_mean(draws, truth)


@each_estimator
def test_every_estimator_finds_the_gradient_in_a_scale(estimate):
    """E (z − 3)² for N(1, θ) is 4 + θ²."""
    draws = estimate(f, lambda s: Normal(1.0, s), 1.5, samples=SAMPLES, seed=1)
    assert is_mean(draws, 3.0)


@pytest.mark.parametrize("estimate", [generalised, score, score_with_control])
def test_estimators_find_the_gradient_of_a_beta_law(estimate):
    """E z² for Beta(θ, 2) is θ(θ + 1) / ((θ + 2)(θ + 3))."""
    theta = torch.tensor(3.0).double()
    truth = (2 * 3 + 1) / (5 * 6) - 3 * 4 * (2 * 3 + 5) / (5 * 6) ** 2
    two = torch.tensor(2.0).double()
    draws = estimate(torch.square, lambda a: Beta(a, two), theta, samples=SAMPLES, seed=2)
    assert is_mean(draws, truth)


def expectation(g) -> float:
    return integrate.quad(lambda z: g(z) * stats.gamma.pdf(z, 2), 0, 80, limit=300)[0]


def gamma_variances() -> dict[str, float]:
    """Variance of each estimator in the gamma setting, by numerical integration."""
    shape, step = 2.0, 1e-5
    variance, third = special.polygamma(1, shape), special.polygamma(2, shape)

    def value(z):
        return (z - 3) ** 2

    def the_score(z):
        return math.log(z) - special.digamma(shape)

    def implicit_derivative(z):
        of_cdf = special.gammainc(shape + step, z) - special.gammainc(shape - step, z)
        return -of_cdf / (2 * step) / stats.gamma.pdf(z, shape)

    def by_generalised(z):
        of_log = variance + the_score(z) / variance * third / 2
        correction = (shape - z) * of_log + the_score(z) + third / (2 * variance)
        return 2 * (z - 3) * z * of_log + value(z) * correction

    covariance = expectation(lambda z: value(z) * the_score(z) ** 2)
    plain = expectation(lambda z: (value(z) * the_score(z)) ** 2) - 1
    of_implicit = expectation(lambda z: (2 * (z - 3) * implicit_derivative(z)) ** 2) - 1
    return {
        "implicit": of_implicit,
        "generalised": expectation(lambda z: by_generalised(z) ** 2) - 1,
        "score_with_control": plain - covariance**2 / variance,
        "score": plain,
    }


def check_variances(law, wanted: dict[str, float], tolerance: float) -> None:
    for estimate in ESTIMATORS:
        if estimate.__name__ in wanted:
            draws = estimate(f, *law, samples=SAMPLES, seed=3)
            assert float(draws.var()) == pytest.approx(wanted[estimate.__name__], rel=tolerance)


def test_variances_for_a_normal_law():
    """The moments give 4; 6 + 8·3² = 78; 15 + 14·3² + 3⁴ = 222."""
    wanted = {"reparameterised": 4, "score_with_control": 78, "score": 222}
    check_variances(NORMAL, wanted, 0.1)


def test_variances_for_a_gamma_law():
    wanted = gamma_variances()
    assert list(wanted.values()) == pytest.approx([11.7, 20.8, 22.5, 46.5], rel=0.01)
    check_variances(GAMMA, wanted, 0.1)


def test_the_generalised_estimator_is_wrong_without_its_correction():
    """−1.253 along the draws, .253 of correction; for a normal law the correction is zero."""
    along = generalised(f, *GAMMA, samples=SAMPLES, seed=4, correction=False)
    whole = generalised(f, *GAMMA, samples=SAMPLES, seed=4)
    assert is_mean(along, -1.25319)
    assert not is_mean(along, -1.0, errors=10)
    assert is_mean(whole - along, 0.25319)
    of_normal = [
        generalised(f, *NORMAL, samples=100, seed=4, correction=correct)
        for correct in (True, False)
    ]
    assert torch.allclose(*of_normal, atol=1e-12)


def test_the_implicit_derivative_is_that_of_the_distribution_function():
    z = gamma(GAMMA[1]).sample((1,))
    step = 1e-5
    (drawn,) = implicit(lambda z: z, *GAMMA, samples=1, seed=9)
    state = torch.get_rng_state()
    torch.manual_seed(9)
    z = float(gamma(GAMMA[1]).sample((1,)))
    torch.set_rng_state(state)
    of_cdf = (special.gammainc(2 + step, z) - special.gammainc(2 - step, z)) / (2 * step)
    assert float(drawn) == pytest.approx(
        -of_cdf / stats.gamma.pdf(z, 2), rel=1e-4
    )  # torch's series


def test_a_control_variate_from_the_same_draws_would_be_biased():
    """Our mean is exact even with few draws; that with a coefficient of the same draws is not."""
    ours, same = [], []
    for seed in range(400):
        ours.append(score_with_control(f, *NORMAL, samples=3, seed=seed).mean())
        draws = score(f, *NORMAL, samples=3, seed=seed)
        scores = score(torch.ones_like, *NORMAL, samples=3, seed=seed)
        centred = scores - scores.mean()
        same.append((draws - (draws @ centred) / (centred @ centred) * scores).mean())
    assert is_mean(torch.stack(ours), -6)
    assert not is_mean(torch.stack(same), -6, errors=10)


def test_the_score_needs_no_derivative_of_f():
    """P(z > 0) for N(θ, 1) has the derivative φ(θ)."""
    for estimate in (score, score_with_control):
        draws = estimate(lambda z: (z > 0).double(), *NORMAL, samples=SAMPLES, seed=5)
        assert is_mean(draws, 1 / math.sqrt(2 * math.pi))
    coins = score(lambda z: 3 * z, lambda p: Bernoulli(p), 0.3, samples=SAMPLES, seed=6)
    assert is_mean(coins, 3.0)


def test_vectors_count_as_one_draw():
    """E |z|² of five entries N(θ, 1) has the derivative 10 θ."""
    for estimate in (reparameterised, score):
        for event in (0, 1):
            draws = estimate(
                lambda z: z.square().sum(-1),
                lambda m, event=event: Independent(Normal(m.expand(5), 1.0), event),
                0.7,
                samples=SAMPLES,
                seed=7,
            )
            assert is_mean(draws, 7.0)


@each_estimator
def test_the_seed_alone_decides_and_the_global_generator_stays(estimate):
    state = torch.get_rng_state()
    first = estimate(f, *GAMMA, samples=5, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert torch.equal(estimate(f, *GAMMA, samples=5, seed=1), first)
    assert not torch.equal(estimate(f, *GAMMA, samples=5, seed=2), first)


@each_estimator
@pytest.mark.parametrize("parameter", [2, 2.0, torch.tensor([2.0]), torch.nn.Parameter(GAMMA[1])])
def test_a_parameter_is_a_number_or_a_tensor_of_one(estimate, parameter):
    draws = estimate(f, gamma, parameter, samples=4, seed=0)
    assert draws.shape == (4,)
    assert not draws.requires_grad


@each_estimator
def test_a_constant_has_no_gradient_where_the_derivative_is_taken_along_draws(estimate):
    draws = estimate(lambda z: torch.ones_like(z), *NORMAL, samples=SAMPLES, seed=0)
    assert is_mean(draws, 0) or (draws == 0).all()


@each_estimator
def test_what_does_not_fit_is_refused(estimate):
    with pytest.raises(ConfigError, match="0 samples"):
        estimate(f, *NORMAL, samples=0, seed=0)
    with pytest.raises(ConfigError, match=r"shape \(2,\)"):
        estimate(f, normal, torch.zeros(2), samples=3, seed=0)
    with pytest.raises(ConfigError, match="one value a draw"):
        estimate(torch.sum, *NORMAL, samples=3, seed=0)


def test_laws_without_the_needed_draws_are_refused():
    with pytest.raises(ConfigError, match="Bernoulli has no reparameterised draws"):
        reparameterised(f, lambda p: Bernoulli(p), 0.5, samples=2, seed=0)
    with pytest.raises(ConfigError, match="once only"):
        implicit(torch.square, lambda a: Beta(a, 2.0), 0.5, samples=2, seed=0)
    with pytest.raises(ConfigError, match="standardised variable for Exponential"):
        generalised(f, lambda p: Exponential(p), 0.5, samples=2, seed=0)
