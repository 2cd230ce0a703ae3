"""Theorems of "From optimal transport to generative modeling" (Bousquet et al. 2017), as tests.

Theorem 1: the transport cost between data and a model with a deterministic decoder G is the least
reconstruction cost of all encoders whose codes, over the whole data, have the law of the prior.
"""

import math

import pytest
import torch
from scipy.optimize import linprog
from torch.distributions import Normal, kl_divergence

from speechseq.nn.mmd import mmd
from speechseq.nn.transport import transport


def masses(n: int) -> torch.Tensor:
    raw = torch.rand(n).double() + 0.05
    return raw / raw.sum()


def least_cost(cost: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> float:
    """The least Σ cost·plan over couplings of a and b, as a linear program."""
    rows, columns = cost.shape
    sums = torch.cat(
        [torch.eye(rows).repeat_interleave(columns, 1), torch.eye(columns).repeat(1, rows)]
    )
    limits = torch.cat([a, b]).numpy()
    return linprog(cost.flatten().numpy(), A_eq=sums.numpy(), b_eq=limits, method="highs").fun


def finite_model(decodes: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Data and outputs in the plane; data, prior and output masses.

    `decodes` (codes, outputs) is the decoder's probability of each output given each code.
    """
    data, outputs = torch.randn(6, 2).double(), torch.randn(decodes.shape[1], 2).double()
    prior = masses(len(decodes))
    return torch.cdist(data, outputs).square(), masses(6), prior, prior @ decodes


@pytest.mark.parametrize("solve", [least_cost, lambda *problem: transport(*problem).value])
def test_theorem_1_transport_is_the_best_reconstruction_with_codes_of_the_prior(solve):
    """Nine codes, four outputs: several codes have the same output."""
    decodes = torch.eye(4).double()[torch.tensor([0, 1, 2, 3, 0, 1, 2, 0, 0])]
    cost, data, prior, model = finite_model(decodes)
    between_data_and_model = least_cost(cost, data, model)
    over_encoders = solve(cost @ decodes.T, data, prior)
    assert over_encoders == pytest.approx(between_data_and_model, abs=1e-9)
    assert between_data_and_model > 0.1


def test_with_a_random_decoder_reconstruction_costs_more_than_transport():
    """Only one side remains: a decoder that adds noise pays for the noise."""
    decodes = torch.softmax(torch.randn(9, 4).double(), -1)
    cost, data, prior, model = finite_model(decodes)
    assert least_cost(cost @ decodes.T, data, prior) > least_cost(cost, data, model) + 0.1


def trained_scale(variance: float, penalty: str, batch: int, updates: int = 300) -> float:
    """The c of a decoder N(c·z, variance) of data N(0, 1), trained with encoders N(a·x, s²)."""
    raw = torch.tensor([0.5, 0.5, -2.0], requires_grad=True)  # a, c, log s
    optimizer = torch.optim.Adam([raw])
    prior, late = Normal(0.0, 1.0), []
    for update in range(updates):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - update / updates)
        a, c, log_s = raw
        x = torch.randn(batch, 1)
        posterior = Normal(a * x, log_s.exp())
        z = posterior.rsample()
        loss = (x - c * z).square().mean() / (2 * variance)
        if penalty == "kl":
            loss = loss + kl_divergence(posterior, prior).mean()
        else:
            loss = loss + 10 * mmd(z, torch.randn(batch, 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        late.append(float(c.detach()))
    tail = late[-updates // 4 :]
    return sum(tail) / len(tail)


@pytest.mark.parametrize("variance", [0.1, 0.4, 0.7])
def test_proposition_2_a_vae_s_decoder_shrinks_with_its_noise(variance):
    """The likelihood wants c² + σ² = 1, so that the mean of its outputs varies too little."""
    assert trained_scale(variance, "kl", 400) == pytest.approx(math.sqrt(1 - variance), abs=0.03)


@pytest.mark.parametrize("variance", [0.1, 0.4, 0.7])
def test_proposition_2_a_wasserstein_auto_encoder_s_decoder_does_not(variance):
    assert trained_scale(variance, "mmd", 150) >= 0.97
