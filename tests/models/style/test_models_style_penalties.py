"""Penalties of styles: KL divergences, schedules, the learned capacity, and mutual information."""

import itertools
import math

import pytest
import torch
from torch.distributions import Dirichlet, Independent, Laplace, Normal

from speechseq.errors import ConfigError, DataError
from speechseq.models.style.latent import Latent
from speechseq.models.style.matching import MMDConfig, SinkhornConfig
from speechseq.models.style.penalties import (
    CapacityConfig,
    KLConfig,
    anneal,
    kl,
    mutual_information,
)

MEAN = torch.tensor([[0.5, -1.0, 0.0], [2.0, 0.0, 0.1]], dtype=torch.float64)
SD = torch.tensor([[0.3, 1.0, 1.0], [0.5, 1.0, 0.9]], dtype=torch.float64)
POSTERIOR = Independent(Normal(MEAN, SD), 1)
PRIOR = Independent(Normal(torch.zeros(3).double(), torch.ones(3).double()), 1)
EACH = 0.5 * (MEAN**2 + SD**2 - 1) - SD.log()  # the textbook's closed form


def test_kl_is_the_mean_over_items_of_the_sum_over_dimensions():
    torch.testing.assert_close(kl(POSTERIOR, PRIOR), EACH.sum() / 2)
    doubled = Independent(Normal(MEAN.repeat(2, 1), SD.repeat(2, 1)), 1)
    torch.testing.assert_close(kl(doubled, PRIOR), kl(POSTERIOR, PRIOR))  # no sum over the batch


def test_free_bits_floor_each_dimensions_mean_over_items():
    bits = 0.3
    expected = EACH.mean(0).clamp(min=bits).sum()
    wrong = EACH.clamp(min=bits).mean(0).sum()  # floored item by item
    assert not math.isclose(expected, wrong, rel_tol=1e-3)
    torch.testing.assert_close(kl(POSTERIOR, PRIOR, free_bits=bits), expected)


def test_kl_without_a_closed_form_agrees_with_the_closed_form_on_average():
    torch.manual_seed(0)
    base = Independent(Normal(MEAN.repeat(20_000, 1), SD.repeat(20_000, 1)), 1)
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(2).double()),
        Independent(Normal(torch.zeros(2, 3).double(), torch.ones(2, 3).double()), 1),
    )  # equal to PRIOR, but torch knows no closed form
    torch.testing.assert_close(kl(base, mixture), EACH.sum() / 2, rtol=0.02, atol=0)


@pytest.mark.parametrize(
    ("posterior", "prior"),
    [
        (
            Independent(Laplace(MEAN, SD), 1),
            Independent(Laplace(torch.zeros(3).double(), torch.ones(3).double()), 1),
        ),
        (
            Independent(Dirichlet(SD.unsqueeze(1) + torch.ones(2, 4, 3).double()), 1),
            Independent(Dirichlet(torch.full((4, 3), 0.3).double()), 1),
        ),
    ],
)
def test_closed_forms_of_other_families_agree_with_sampling(posterior, prior):
    torch.manual_seed(1)
    draws = posterior.rsample(torch.Size([40_000]))
    sampled = (posterior.log_prob(draws) - prior.log_prob(draws)).mean()
    torch.testing.assert_close(kl(posterior, prior), sampled, rtol=0.03, atol=0)


@pytest.mark.parametrize("kind", ["linear", "logistic", "cyclic"])
@pytest.mark.parametrize(("end", "start", "length"), [(0.2, 100, 400), (3.0, 0, 7), (1.0, 5, 0)])
def test_annealing_ends_at_the_weight_asked_for(kind, end, start, length):
    weights = [
        anneal(u, kind=kind, end=end, start=start, length=length) for u in range(start + length + 9)
    ]
    assert weights[start + length :] == pytest.approx([end] * 9)
    assert all(0 <= w <= end + 1e-12 for w in weights)
    if length:
        assert weights[: start + 1] == pytest.approx([0.0] * (start + 1), abs=1e-9)


def test_cyclic_annealing_rises_four_times():
    weights = [anneal(u, kind="cyclic", end=1.0, start=0, length=400) for u in range(401)]
    assert sum(b < a for a, b in itertools.pairwise(weights)) == 3
    assert weights[50] == weights[60] == 1.0
    assert weights[25] == pytest.approx(0.5)


@pytest.mark.parametrize("raw", [-3.0, 0.0, 2.0])
def test_the_capacitys_multiplier_ascends_and_the_encoder_descends(raw):
    module = CapacityConfig(capacity=1.0).build()
    with torch.no_grad():
        module.raw.fill_(raw)
    mean = MEAN.float().clone().requires_grad_()
    posterior = Independent(Normal(mean, SD.float()), 1)
    prior = Independent(Normal(torch.zeros(3), torch.ones(3)), 1)
    (term,) = module(Latent(posterior.mean, mean, posterior), prior, 0).values()
    excess = kl(posterior, prior) - 1.0
    beta = float(module.beta.detach())
    assert beta >= 0
    torch.testing.assert_close(term, beta * excess)
    term.backward()
    assert excess > 0 > module.raw.grad  # a descent step makes beta larger while KL is above
    torch.testing.assert_close(mean.grad, beta * mean.detach() / len(mean))


def test_terms_are_named_and_annealed():
    latent = Latent(MEAN, MEAN, POSTERIOR)
    module = KLConfig(weight=0.5, anneal="linear", start=10, length=10).build()
    assert float(module(latent, PRIOR, 10)["kl"]) == 0.0
    torch.testing.assert_close(module(latent, PRIOR, 15)["kl"], 0.25 * EACH.sum() / 2)
    torch.testing.assert_close(module(latent, PRIOR, 99)["kl"], 0.5 * EACH.sum() / 2)


def test_mmd_refuses_a_batch_of_one_and_kl_a_deterministic_posterior():
    with pytest.raises(DataError):
        MMDConfig().build()(Latent(MEAN[:1], MEAN[:1], None), PRIOR, 0)
    with pytest.raises(ConfigError, match="deterministic"):
        KLConfig().build()(Latent(MEAN, MEAN, None), PRIOR, 0)


@pytest.mark.parametrize("items", [2, 50])
def test_mean_kl_is_mutual_information_and_the_aggregates_kl(items):
    torch.manual_seed(2)
    mean = 2 * torch.randn(items, 3, dtype=torch.float64)
    posterior = Independent(Normal(mean, torch.full_like(mean, 0.4)), 1)
    mean_kl, information, aggregate = mutual_information(posterior, PRIOR)
    assert abs(float(mean_kl - information - aggregate)) <= 1e-8
    assert -1e-9 <= float(information) <= math.log(items) + 1e-9
    apart = Independent(Normal(1000 * mean, torch.full_like(mean, 1e-3)), 1)
    torch.testing.assert_close(
        mutual_information(apart, PRIOR)[1], torch.tensor(math.log(items)).double()
    )
    same = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    torch.testing.assert_close(
        mutual_information(same, PRIOR)[1], torch.tensor(0.0).double(), rtol=0, atol=1e-9
    )


def test_sinkhorn_is_near_zero_for_the_prior_and_the_squared_shift_beside_it():
    torch.manual_seed(5)
    prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    same, penalty = prior.sample(torch.Size([200])), SinkhornConfig().build()
    near = penalty(Latent(same, same, None), prior, 0)["sinkhorn"]
    moved = same + torch.tensor([3.0, 0.0])
    far = penalty(Latent(moved, moved, None), prior, 0)["sinkhorn"]
    assert abs(float(near)) < 0.3
    assert float(far) == pytest.approx(9.0, rel=0.25)  # of upper bounds
    wide = 3 * same.clone().requires_grad_()
    penalty(Latent(wide, wide, None), prior, 0)["sinkhorn"].backward()
