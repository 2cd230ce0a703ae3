"""Monte Carlo estimators of the gradient of E f(z), where z is drawn given a parameter.

All have one signature, and return one unbiased estimate of d E f(z) / d parameter for each draw:
the mean of the estimates is the gradient, and their spread compares the estimators.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Beta, Distribution, Gamma, Transform, constraints
from torch.distributions.transforms import ExpTransform, SigmoidTransform, identity_transform

from speechseq.errors import ConfigError

Function = Callable[[Tensor], Tensor]
Build = Callable[[Tensor], Distribution]
Parameter = Tensor | float | int
Estimates = Float[Tensor, " samples"]
_PILOT = 100  # the fewest other draws from which a control variate's coefficient is estimated


def reparameterised(
    f: Function, build: Build, parameter: Parameter, *, samples: int, seed: int
) -> Estimates:
    """Estimate the derivative of E f(z) in a parameter of z's distribution by reparameterisation.

    A draw is a differentiable function of noise and parameter, z = T(noise, parameter); an estimate
    is the derivative of f(z) through it.

    Args:
        f: differentiable function that maps draws (samples, …) to one value each (samples).
        build: function that makes the distribution of z, a torch Distribution, from the parameter.
        parameter: a number, or a tensor of one number, at which the derivative is taken.
        samples: number of draws; the result has one estimate for each.
        seed: seed of the draws; torch's global generators are not used.

    Returns:
        One unbiased estimate of the derivative per draw, (samples); their mean is the estimate.

    Raises:
        ConfigError: the distribution has no reparameterised draws (`rsample`), `samples` is below
            1, or `parameter` or the values of f have another shape.

    Source: Kingma and Welling 2014, "Auto-encoding variational Bayes".
    """
    theta, z = _reparameterised_draws(build, parameter, samples, seed)
    return _derivative(_values(f, z, samples), theta)


def implicit(
    f: Function, build: Build, parameter: Parameter, *, samples: int, seed: int
) -> Estimates:
    """Estimate the derivative of E f(z) in a parameter by implicit reparameterisation.

    A draw z has the derivative −(∂F/∂parameter) / q(z), where F(z; parameter) is the distribution
    function and q the density (Figurnov 2018), so no inverse of F is needed. torch's `rsample` of
    gamma distributions works in this way. For distributions with a location and a scale the result
    equals that of `reparameterised`.

    Args:
        f: differentiable function that maps draws (samples, …) to one value each (samples).
        build: function that makes the distribution of z, a torch Distribution, from the parameter.
        parameter: a number, or a tensor of one number, at which the derivative is taken.
        samples: number of draws; the result has one estimate for each.
        seed: seed of the draws; torch's global generators are not used.

    Returns:
        One unbiased estimate of the derivative per draw, (samples).

    Raises:
        ConfigError: the distribution has no reparameterised draws (`rsample`), `samples` is below
            1, or `parameter` or the values of f have another shape.
    """
    theta, z = _reparameterised_draws(build, parameter, samples, seed)
    return _derivative(_values(f, z, samples), theta)


def generalised(
    f: Function,
    build: Build,
    parameter: Parameter,
    *,
    samples: int,
    seed: int,
    correction: bool = True,
) -> Estimates:
    """Estimate the derivative of E f(z) by generalised reparameterisation (Ruiz 2016).

    The logarithm of a gamma draw, the logit of a beta draw, or a draw on the real line is
    standardised to mean 0 and standard deviation 1. The distribution of this noise may still depend
    on the parameter; the correction term, f times the derivative of the log density of the noise,
    accounts for it.

    Args:
        f: differentiable function that maps draws (samples, …) to one value each (samples).
        build: function that makes the distribution of z, a torch Distribution, from the parameter.
        parameter: a number, or a tensor of one number, at which the derivative is taken.
        samples: number of draws; the result has one estimate for each.
        seed: seed of the draws; torch's global generators are not used.
        correction: False leaves the correction term out. The estimate is then biased, unless the
            distribution of the noise does not depend on the parameter, as for a normal draw.

    Returns:
        One estimate of the derivative per draw, (samples).

    Raises:
        ConfigError: the distribution is not gamma, beta or on the real line; `samples` is below 1,
            or `parameter` or the values of f have another shape.
    """
    theta, distribution, z = _draws(build, parameter, samples, seed)
    transform, mean, spread = _standardisation(distribution)
    with torch.no_grad():
        noise = (transform.inv(z) - mean) / spread
    unconstrained = mean + spread * noise
    z = transform(unconstrained)
    values = _values(f, z, samples)
    along = _derivative(values, theta)
    if not correction:
        return along
    volume = transform.log_abs_det_jacobian(unconstrained, z) + spread.log()
    return along + values.detach() * _derivative(_summed(distribution.log_prob(z) + volume), theta)


def score(f: Function, build: Build, parameter: Parameter, *, samples: int, seed: int) -> Estimates:
    """Estimate the derivative of E f(z) in a parameter by the score function (Williams 1992).

    An estimate is f(z) times the score, the derivative of the log density of z in the parameter. f
    may have jumps, and the distribution needs only `log_prob` and `sample`.

    Args:
        f: function that maps draws (samples, …) to one value each (samples).
        build: function that makes the distribution of z, a torch Distribution, from the parameter.
        parameter: a number, or a tensor of one number, at which the derivative is taken.
        samples: number of draws; the result has one estimate for each.
        seed: seed of the draws; torch's global generators are not used.

    Returns:
        One unbiased estimate of the derivative per draw, (samples).

    Raises:
        ConfigError: `samples` is below 1, or `parameter` or the values of f have another shape.
    """
    values, scores = _score_parts(f, build, parameter, samples, seed)
    return values * scores


def score_with_control(
    f: Function, build: Build, parameter: Parameter, *, samples: int, seed: int
) -> Estimates:
    """Estimate the derivative of E f(z) by the score with a control variate (Ranganath 2014).

    The control variate is a* times the score (the derivative of the log density), whose mean is 0;
    a* = −Cov(f·score, score) / Var(score) minimises the variance. a* is estimated from other draws,
    as many as `samples` and at least 100, because the same draws would bias the estimate.

    Args:
        f: function that maps draws (samples, …) to one value each (samples).
        build: function that makes the distribution of z, a torch Distribution, from the parameter.
        parameter: a number, or a tensor of one number, at which the derivative is taken.
        samples: number of draws; the result has one estimate for each.
        seed: seed of the draws; torch's global generators are not used.

    Returns:
        One unbiased estimate of the derivative per draw, (samples).

    Raises:
        ConfigError: `samples` is below 1, or `parameter` or the values of f have another shape.
    """
    _check_samples(samples)
    pilot = max(samples, _PILOT)
    values, scores = _score_parts(f, build, parameter, samples + pilot, seed)
    products = values * scores
    centred = scores[:pilot] - scores[:pilot].mean()
    tiny = torch.finfo(scores.dtype).tiny
    coefficient = -(products[:pilot] @ centred) / (centred @ centred).clamp_min(tiny)
    return products[pilot:] + coefficient * scores[pilot:]


def _score_parts(
    f: Function, build: Build, parameter: Parameter, samples: int, seed: int
) -> tuple[Tensor, Tensor]:
    theta, distribution, z = _draws(build, parameter, samples, seed)
    scores = _derivative(_summed(distribution.log_prob(z)), theta)
    with torch.no_grad():
        return _values(f, z, samples), scores


def _draws(
    build: Build, parameter: Parameter, samples: int, seed: int
) -> tuple[Tensor, Distribution, Tensor]:
    """The parameter as a leaf, its distribution, and draws (samples, …) without a gradient."""
    theta = _leaf(parameter, samples)
    distribution = build(theta)
    with _Seeded(seed, theta.device), torch.no_grad():
        return theta, distribution, distribution.sample(torch.Size([samples]))


def _reparameterised_draws(
    build: Build, parameter: Parameter, samples: int, seed: int
) -> tuple[Tensor, Tensor]:
    theta = _leaf(parameter, samples)
    distribution = build(theta)
    if not distribution.has_rsample:
        name = type(distribution).__name__
        raise ConfigError(f"{name} has no reparameterised draws", "use the estimator score")
    with _Seeded(seed, theta.device):
        return theta, distribution.rsample(torch.Size([samples]))


def _leaf(parameter: Parameter, samples: int) -> Tensor:
    _check_samples(samples)
    theta = torch.as_tensor(parameter).detach()
    if theta.numel() != 1:
        problem = f"a parameter of shape {tuple(theta.shape)}"
        raise ConfigError(problem, "give one number; estimate one derivative at a time")
    theta = theta if theta.is_floating_point() else theta.to(torch.get_default_dtype())
    return theta.reshape(()).clone().requires_grad_()


def _check_samples(samples: int) -> None:
    if samples < 1:
        raise ConfigError(f"{samples} samples", "ask for at least 1")


class _Seeded:
    """Seeds the generator of one device, and restores its state afterwards."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.generator: Any = torch.default_generator
        if device.type == "cuda":
            torch.cuda.init()
            index = torch.cuda.current_device() if device.index is None else device.index
            self.generator = torch.cuda.default_generators[index]
        self.seed = seed

    def __enter__(self) -> None:
        self.state = self.generator.get_state()
        self.generator.manual_seed(self.seed)

    def __exit__(self, *_: object) -> None:
        self.generator.set_state(self.state)


def _standardisation(distribution: Distribution) -> tuple[Transform, Tensor, Tensor]:
    """Transform from the whole line to the draws, and mean and spread before it."""
    if isinstance(distribution, Gamma):
        shape, rate = distribution.concentration, distribution.rate
        mean, variance = shape.digamma() - rate.log(), torch.polygamma(1, shape)
        return ExpTransform(), mean, variance.sqrt()
    if isinstance(distribution, Beta):
        one, zero = distribution.concentration1, distribution.concentration0
        variance = torch.polygamma(1, one) + torch.polygamma(1, zero)
        return SigmoidTransform(), one.digamma() - zero.digamma(), variance.sqrt()
    if distribution.support is constraints.real:
        return identity_transform, distribution.mean, distribution.stddev
    name = type(distribution).__name__
    raise ConfigError(f"no standardised variable for {name}", "use implicit, or score")


def _values(f: Function, z: Tensor, samples: int) -> Tensor:
    values = f(z)
    if values.shape != (samples,):
        problem = f"f gave shape {tuple(values.shape)} for {samples} draws {tuple(z.shape)}"
        raise ConfigError(problem, "f must give one value a draw")
    return values


def _summed(log_prob: Tensor) -> Tensor:
    """Log densities (samples) of draws whose entries (samples, …) are independent."""
    return log_prob.flatten(1).sum(1) if log_prob.dim() > 1 else log_prob


def _derivative(values: Tensor, theta: Tensor) -> Tensor:
    """The derivative (samples) of each value in the parameter, values that share one graph.

    The gradient of Σ weights·values in theta is linear in the weights, and its own gradient in
    them is every value's derivative: two backward passes instead of one a draw.
    """
    if not values.requires_grad:
        return torch.zeros_like(values)
    weights = torch.zeros_like(values, requires_grad=True)
    (total,) = torch.autograd.grad(values, theta, weights, create_graph=True)
    (derivatives,) = torch.autograd.grad(total, weights, retain_graph=True, allow_unused=True)
    if derivatives is None:
        problem = "torch differentiates these draws (of a beta or Dirichlet law) once only"
        raise ConfigError(problem, "use generalised, or score")
    return derivatives
