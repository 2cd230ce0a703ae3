"""Penalties in a style's training: distances of codes from the prior, and their schedules."""

import dataclasses
import math
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, kl_divergence
from torch.nn import functional as F

from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.models.style.latent import Latent
from speechseq.ranges import Factor, Update, Weight
from speechseq.shapes import Scalar

Anneal = Literal["linear", "logistic", "cyclic"]
_STEEP, _CYCLES = 10.0, 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoPenaltyConfig(Config):
    """Settings for training without a penalty, as for plain autoencoders and style tokens."""

    kind: ClassVar[str] = "none"

    def build(self) -> "NoPenalty":
        """Build the module, which has no parameters."""
        return NoPenalty()


class NoPenalty(nn.Module):
    """Penalty that adds nothing to the loss, for styles whose codes no prior has to constrain.

    `NoPenaltyConfig().build()` makes it. Every penalty is called with the styles of a batch, the
    prior and the optimizer update, and returns a dict of weighted loss terms by name, here {}.
    """

    def forward(self, latent: Latent, prior: Distribution, update: int) -> dict[str, Tensor]:
        """Return an empty dict: no term is added to the loss.

        Args:
            latent, prior, update: styles of a batch, distribution of a code, and optimizer update,
                as for every penalty; not used.
        """
        return {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class KLConfig(Config):
    """Settings of the KL divergence of the posterior from the prior (Kingma & Welling 2014).

    Attributes:
        weight: weight of the term at the end of its schedule.
        anneal: shape of the weight's rise from 0: "linear", "logistic" (a sigmoid) or "cyclic"
            (four rises).
        start, length: update at which the rise begins, and updates that it takes; length 0 for a
            constant weight.
        free_bits: nats of KL divergence in each dimension that are not penalised (Kingma 2016).
    """

    kind: ClassVar[str] = "kl"
    weight: Weight = 1.0
    anneal: Anneal = "linear"
    start: Update = 0
    length: Update = 1000
    free_bits: Weight = 0.0

    def build(self) -> "KL":
        """Build the penalty module with these settings."""
        return KL(self)


class KL(nn.Module):
    """Penalty by the KL divergence of the posterior from the prior, with a weight that rises.

    `KLConfig().build()` makes it.
    """

    def __init__(self, config: KLConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, latent: Latent, prior: Distribution, update: int) -> dict[str, Tensor]:
        """Compute the weighted KL divergence of a batch's posteriors from the prior.

        Args:
            latent: styles of the batch, of which the posteriors are used.
            prior: distribution of a code.
            update: number of the optimizer update, which determines the weight.

        Returns:
            A dict with the scalar "kl".

        Raises:
            ConfigError: the posterior is deterministic.
        """
        c = self.config
        weight = anneal(update, kind=c.anneal, end=c.weight, start=c.start, length=c.length)
        posterior = _distribution(latent)
        return {"kl": weight * kl(posterior, prior, free_bits=c.free_bits, code=latent.code)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CapacityConfig(Config):
    """Settings of a KL divergence that is driven to a target (Battenberg 2019, Capacitron).

    Attributes:
        capacity: target of the KL divergence, in nats per utterance.
        weight: weight of the whole term relative to the other losses.
        first: value of the learned multiplier before the first update.
    """

    kind: ClassVar[str] = "capacity"
    capacity: Factor = 50.0
    weight: Weight = 1.0
    first: Factor = 1.0

    def build(self) -> "Capacity":
        """Build the penalty module with these settings."""
        return Capacity(self)


class Capacity(nn.Module):
    """Penalty β (KL - capacity), with a learned multiplier β ≥ 0.

    `CapacityConfig().build()` makes it. Its term of the loss is called "capacity".

    The gradient minimises the term in the model's parameters and maximises it in β, so that the KL
    divergence settles at the capacity. The posterior must be a distribution, as for `KL`.
    """

    def __init__(self, config: CapacityConfig) -> None:
        super().__init__()
        self.config = config
        self.raw = nn.Parameter(torch.tensor(math.log(math.expm1(config.first))))

    @property
    def beta(self) -> Tensor:
        """Return the learned multiplier β of the KL divergence, a scalar of at least 0."""
        return F.softplus(self.raw)

    def forward(self, latent: Latent, prior: Distribution, update: int) -> dict[str, Tensor]:
        """Compute weight · β · (KL - capacity), to be added to the loss.

        KL is the divergence of the posteriors from the prior, in nats, a mean over the batch. β ≥ 0
        is a Lagrange multiplier whose gradient is reversed, so that an optimizer that minimises the
        loss raises β while KL exceeds the capacity.

        Args:
            latent: styles of the batch, of which the posteriors are used.
            prior: prior distribution of one utterance's style code.
            update: number of the optimizer update; not used, all penalties take it.

        Returns:
            A dict with the scalar "capacity".
        """
        excess = kl(_distribution(latent), prior, code=latent.code) - self.config.capacity
        beta = self.beta
        ascending = 2 * beta.detach() - beta  # the value of β with its gradient reversed
        term = beta.detach() * excess + (ascending - beta.detach()) * excess.detach()
        return {"capacity": self.config.weight * term}


def kl(
    posterior: Distribution,
    prior: Distribution,
    *,
    free_bits: float = 0.0,
    code: Tensor | None = None,
) -> Scalar:
    """Compute the KL divergence of a posterior from a prior.

    The closed form is used where torch has one; otherwise one draw estimates the divergence.

    Args:
        posterior: distribution of batch shape (batch) and event shape `code_shape`.
        prior: distribution of the same event shape.
        free_bits: lower bound of each dimension's mean over items: the result is
            Σ_d max(mean_i KL_id, free_bits) (Kingma 2016). Without a closed form, the bound holds
            for the mean over dimensions.
        code: draw of the posterior (batch, *code_shape) for the estimate; None makes a new draw.

    Returns:
        A scalar in nats: the mean over items of the sum over dimensions.
    """
    terms = _closed_form(posterior, prior)
    if terms is not None:
        terms = terms.flatten(1) if terms.dim() > 1 else terms.unsqueeze(1)
        return terms.mean(0).clamp(min=free_bits).sum()
    code = posterior.rsample() if code is None else code
    total = (posterior.log_prob(code) - prior.log_prob(code)).mean()
    return total.clamp(min=free_bits * code[0].numel()) if free_bits else total


def _closed_form(posterior: Distribution, prior: Distribution) -> Tensor | None:
    """Divergence (batch, dimensions) of independent distributions, None if torch knows none."""
    if not (isinstance(posterior, Independent) and isinstance(prior, Independent)):
        return None
    try:
        return kl_divergence(posterior.base_dist, prior.base_dist)
    except NotImplementedError:
        return None


def anneal(update: int, *, kind: Anneal, end: float, start: int, length: int) -> float:
    """Return the weight of a penalty at an update: 0 up to `start`, then rising to `end`.

    Args:
        update: number of the optimizer update.
        end: weight from update `start + length` on.
        start: update at which the rise begins.
        length: updates that the rise takes; with 0 the weight is always `end`.
        kind: shape of the rise. "linear"; "logistic", a sigmoid (Bowman 2016); "cyclic", four
            cycles, each of which rises from 0 to `end` in its first half and stays at `end` in its
            second half (Fu 2019).
    """
    share = 1.0 if length <= 0 else min(max((update - start) / length, 0.0), 1.0)
    if kind == "cyclic" and share < 1.0:
        share = min(2 * (share * _CYCLES % 1.0), 1.0)
    if kind == "logistic":
        least, most = (1 / (1 + math.exp(side * _STEEP / 2)) for side in (1, -1))
        share = (1 / (1 + math.exp(-_STEEP * (share - 0.5))) - least) / (most - least)
    return end * share


@torch.no_grad()
def mutual_information(
    posterior: Distribution, prior: Distribution
) -> tuple[Scalar, Scalar, Scalar]:
    """Split the mean KL divergence of a batch of posteriors from the prior in two parts.

    mean_kl = information + aggregate_kl (Hoffman & Johnson 2016). All three are estimated from one
    draw of each posterior, with torch's global generator.

    Args:
        posterior: distribution of batch shape (batch) and event shape `code_shape`.
        prior: distribution of the same event shape.

    Returns:
        mean_kl; information, the mutual information of items and codes; and aggregate_kl, the KL
        divergence of the mixture of all posteriors from the prior. All are scalars in nats.
    """
    code = posterior.rsample() if posterior.has_rsample else posterior.sample()
    own = posterior.log_prob(code)
    every = posterior.log_prob(code.unsqueeze(1))  # (items, posteriors)
    aggregate = every.logsumexp(1) - math.log(len(code))
    expected = prior.log_prob(code)
    parts = (own - expected, own - aggregate, aggregate - expected)
    mean_kl, information, aggregate_kl = (x.mean() for x in parts)
    return mean_kl, information, aggregate_kl


def _distribution(latent: Latent) -> Distribution:
    if latent.posterior is None:
        raise ConfigError(
            "penalty.kind: a KL divergence needs a posterior, this one is deterministic",
            "choose NormalConfig as the posterior, or MMDConfig as the penalty",
        )
    return latent.posterior
