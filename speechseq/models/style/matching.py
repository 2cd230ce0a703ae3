"""Penalties that match a batch's codes to samples of the prior: MMD and Sinkhorn divergence."""

import dataclasses
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from speechseq.config import Config
from speechseq.models.style.latent import Latent
from speechseq.nn.mmd import mmd
from speechseq.nn.transport import sinkhorn
from speechseq.ranges import Factor, Weight


@dataclasses.dataclass(frozen=True, kw_only=True)
class MMDConfig(Config):
    """Settings of the maximum mean discrepancy of codes and prior (WAE-MMD, Tolstikhin 2018).

    Attributes:
        weight: weight of the term in the loss.
        kernel: "imq" (inverse multiquadric, heavy-tailed) or "rbf" (Gaussian).
        statistic: estimator: "u" is unbiased and may be negative, "v" is at least 0.
        sigma: standard deviation of the prior, which sets the width of the kernel.
    """

    kind: ClassVar[str] = "mmd"
    weight: Weight = 10.0
    kernel: Literal["imq", "rbf"] = "imq"
    statistic: Literal["u", "v"] = "u"
    sigma: Factor = 1.0

    def build(self) -> "MMD":
        """Build the penalty module with these settings."""
        return MMD(self)


class MMD(nn.Module):
    """Penalty by the maximum mean discrepancy of a batch's codes and as many prior samples.

    `MMDConfig().build()` makes it. Its term of the loss is called "mmd".
    """

    def __init__(self, config: MMDConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, latent: Latent, prior: Distribution, update: int) -> dict[str, Tensor]:
        """Compute the weighted discrepancy of a batch's codes from as many samples of the prior.

        Args:
            latent: styles of the batch, of which the codes are used.
            prior: distribution of a code.
            update: number of the optimizer update, which has no effect.

        Returns:
            A dict with the scalar "mmd".

        Raises:
            DataError: the batch has only one utterance.
        """
        c, code = self.config, latent.code.flatten(1)
        drawn = prior.sample(code.shape[:1]).flatten(1)
        value = mmd(code, drawn, kernel=c.kernel, statistic=c.statistic, sigma=c.sigma)
        return {"mmd": c.weight * value}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SinkhornConfig(Config):
    """Settings of the Sinkhorn divergence of codes and prior (Genevay 2018).

    Attributes:
        weight: weight of the term.
        epsilon: entropic regularisation, as a share of the mean squared distance.
    """

    kind: ClassVar[str] = "sinkhorn"
    weight: Weight = 1.0
    epsilon: Factor = 0.1

    def build(self) -> "Sinkhorn":
        """Build the penalty module with these settings."""
        return Sinkhorn(self)


class Sinkhorn(nn.Module):
    """Penalty by the Sinkhorn divergence of a batch's codes and as many prior samples.

    `SinkhornConfig().build()` makes it. Its term of the loss is called "sinkhorn".

    Half of the transport cost from each set to itself is subtracted, so that the divergence of
    equal distributions is near 0.
    """

    def __init__(self, config: SinkhornConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, latent: Latent, prior: Distribution, update: int) -> dict[str, Tensor]:
        """Compute the weighted divergence of a batch's codes from as many samples of the prior.

        Args:
            latent: styles of the batch, of which the codes are used.
            prior: distribution of a code.
            update: number of the optimizer update, which has no effect.

        Returns:
            A dict with the scalar "sinkhorn".
        """
        code = latent.code.flatten(1)
        drawn = prior.sample(code.shape[:1]).flatten(1)
        apart = self._cost(code, drawn) - 0.5 * (self._cost(code, code) + self._cost(drawn, drawn))
        return {"sinkhorn": self.config.weight * apart}

    def _cost(self, x: Tensor, y: Tensor) -> Tensor:
        cost = (x.unsqueeze(1) - y.unsqueeze(0)).square().sum(-1)
        share = torch.full((len(x),), 1 / len(x), dtype=torch.float64, device=x.device)
        scale = max(float(cost.detach().mean()), 1e-12)
        return sinkhorn(
            cost, share, share, epsilon=self.config.epsilon * scale, iterations=50
        ).upper
