"""Mean KL divergence = mutual information + KL of the aggregate (Hoffman & Johnson 2016)."""

import pytest
import torch
from torch.distributions import Independent, Normal

from speechseq.models.style.penalties import kl, mutual_information

MEAN = torch.tensor([-1.5, 0.2, 2.0]).double()
SD = torch.tensor([0.3, 0.8, 0.5]).double()
PRIOR = Normal(torch.zeros(1).double(), torch.ones(1).double())


def by_integrals() -> tuple[float, float, float]:
    """The three terms for the posteriors N(MEAN, SD), each by its own sum over a fine grid."""
    z, step = (torch.arange(-12, 12, 1e-3).double() + 5e-4).unsqueeze(1), 1e-3
    log_each = Normal(MEAN, SD).log_prob(z)
    each, log_prior = log_each.exp(), PRIOR.log_prob(z)
    aggregate = each.mean(1, keepdim=True)
    mean_kl = (each * (log_each - log_prior)).sum() * step / 3
    information = torch.xlogy(each, each / aggregate).sum() * step / 3
    aggregate_kl = (aggregate * (aggregate.log() - log_prior)).sum() * step
    return float(mean_kl), float(information), float(aggregate_kl)


def test_the_three_integrals_obey_the_theorem_and_the_mean_is_our_closed_form():
    mean_kl, information, aggregate_kl = by_integrals()
    assert mean_kl == pytest.approx(information + aggregate_kl, abs=1e-8)
    posterior = Independent(Normal(MEAN.unsqueeze(1), SD.unsqueeze(1)), 1)
    assert float(kl(posterior, Independent(PRIOR, 1))) == pytest.approx(mean_kl, abs=1e-8)
    assert min(information, aggregate_kl) > 0.1


def test_estimates_of_many_draws_are_those_integrals():
    """Five hundred items of each posterior have the same aggregate."""
    mean, sd = (x.repeat(500).unsqueeze(1) for x in (MEAN, SD))
    estimates = mutual_information(Independent(Normal(mean, sd), 1), Independent(PRIOR, 1))
    for estimate, exact in zip(estimates, by_integrals(), strict=True):
        assert float(estimate) == pytest.approx(exact, abs=0.1)
    assert float(estimates[0] - estimates[1] - estimates[2]) == pytest.approx(0, abs=1e-8)
