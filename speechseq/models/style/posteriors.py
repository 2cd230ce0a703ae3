"""Posteriors: from a reference's summary to a code, deterministic or as a distribution."""

import dataclasses
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Dirichlet, Distribution, Independent, Laplace, Normal
from torch.nn import functional as F

from speechseq.config import Config
from speechseq.models.style.priors import FlowLayers, FlowWidth
from speechseq.models.style.reference import Summary
from speechseq.nn import flows
from speechseq.nn.meta_build import with_values
from speechseq.ranges import Count, Range, Width


class Inferred(NamedTuple):
    """Result of a posterior for a batch of references.

    Attributes:
        mean: (batch, *code_shape), mean code.
        distribution: of batch shape (batch); None if the code is deterministic.
    """

    mean: Tensor
    distribution: Distribution | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PointConfig(Config):
    """Settings of a deterministic code: a linear map of the summary, or the summary itself.

    Attributes:
        dim: width of the code; None passes the summary on.
        activation: "tanh" bounds the code (Skerry-Ryan 2018).
    """

    kind: ClassVar[str] = "point"
    dim: Width | None = 16
    activation: Literal["linear", "tanh"] = "linear"

    def build(self, summary_dim: int) -> "Point":
        """Build the module for summaries (of references) of width `summary_dim`."""
        return Point(summary_dim, self)


class Point(nn.Module):
    """Deterministic posterior: the code is a linear map of the summary, or the summary itself.

    `PointConfig().build(summary_dim)` makes it. Calling it maps summaries (batch, summary_dim), the
    output of the reference encoder, to codes (batch, dim).

    Args:
        summary_dim: width of the summary, one vector per utterance.
        config: a `PointConfig`.
    """

    def __init__(self, summary_dim: int, config: PointConfig) -> None:
        super().__init__()
        self.code_shape = (config.dim or summary_dim,)
        self.linear = nn.Linear(summary_dim, config.dim) if config.dim else nn.Identity()
        self.bounded = config.activation == "tanh"

    def forward(self, summary: Summary) -> Inferred:
        """Map summaries (batch, summary_dim) to codes (batch, dim), without a distribution."""
        code = self.linear(summary)
        return Inferred(code.tanh() if self.bounded else code, None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormalConfig(Config):
    """Settings of a normal posterior with independent dimensions (Kingma & Welling 2014).

    Attributes:
        dim: width of the code.
    """

    kind: ClassVar[str] = "normal"
    dim: Width = 16

    def build(self, summary_dim: int) -> "LocationScale":
        """Build the module for summaries (of references) of width `summary_dim`."""
        return LocationScale(summary_dim, self.dim, Normal)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaplaceConfig(Config):
    """Settings of a Laplace posterior with independent dimensions.

    Attributes:
        dim: width of the code.
    """

    kind: ClassVar[str] = "laplace"
    dim: Width = 16

    def build(self, summary_dim: int) -> "LocationScale":
        """Build the module for summaries (of references) of width `summary_dim`."""
        return LocationScale(summary_dim, self.dim, Laplace)


class LocationScale(nn.Module):
    """Normal or Laplace posterior; location and log-scale are linear in the reference's summary.

    `NormalConfig` and `LaplaceConfig` build it. Calling it maps summaries (batch, summary_dim) to
    torch distributions over codes (batch, dim).

    Args:
        summary_dim: width of the summary, the reference encoder's output for an utterance.
        dim: width of the code.
        family: class of the distribution, torch's Normal or Laplace.
    """

    def __init__(self, summary_dim: int, dim: int, family: type[Normal] | type[Laplace]) -> None:
        super().__init__()
        self.code_shape, self.family = (dim,), family
        self.linear = nn.Linear(summary_dim, 2 * dim)

    def forward(self, summary: Summary) -> Inferred:
        """Map summaries (batch, summary_dim) to distributions over codes (batch, dim)."""
        location, log_scale = self.linear(summary).chunk(2, dim=-1)
        scale = log_scale.clamp(-9.0, 5.0).exp()  # finite whatever the summary is
        return Inferred(location, Independent(self.family(location, scale), 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class DirichletConfig(Config):
    """Settings of a Dirichlet posterior over the weights of style tokens, in each head.

    Attributes:
        tokens, heads: those of the `TokenBankConfig`.
        least: minimum of each concentration, so that gradients are finite.
    """

    kind: ClassVar[str] = "dirichlet"
    tokens: Annotated[int, Range(2, 4096)] = 10
    heads: Count = 4
    least: Annotated[float, Range(1e-4, 10)] = 0.05  # of a concentration; finite gradients

    def build(self, summary_dim: int) -> "TokenDirichlet":
        """Build the module for summaries (of references) of width `summary_dim`."""
        return TokenDirichlet(summary_dim, self)


class TokenDirichlet(nn.Module):
    """Dirichlet posterior over the weights of style tokens (heads, tokens).

    `DirichletConfig().build(summary_dim)` makes it. Calling it maps summaries (batch, summary_dim)
    to torch distributions over codes (batch, heads, tokens); the concentrations are a softplus of a
    linear map of the summary.

    Args:
        summary_dim: width of the summary, the reference encoder's output for an utterance.
        config: a `DirichletConfig`.
    """

    def __init__(self, summary_dim: int, config: DirichletConfig) -> None:
        super().__init__()
        self.code_shape = (config.heads, config.tokens)
        self.linear = nn.Linear(summary_dim, config.heads * config.tokens)
        self.least = config.least

    def forward(self, summary: Summary) -> Inferred:
        """Map summaries (batch, summary_dim) to Dirichlet distributions over token weights.

        Their batch shape is (batch), their event shape (heads, tokens); weights sum to 1 in each
        head.
        """
        raw = self.linear(summary).view(-1, *self.code_shape)
        concentration = F.softplus(raw) + self.least
        mean = concentration / concentration.sum(-1, keepdim=True)
        return Inferred(mean, Independent(Dirichlet(concentration), 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class IAFConfig(Config):
    """Settings of a posterior by an inverse autoregressive flow of the summary (Kingma 2016).

    Attributes:
        dim: width of the code.
        layers, hidden: number of the flow's transforms, and width of their networks.
    """

    kind: ClassVar[str] = "iaf"
    dim: Annotated[int, Range(2, 1024)] = 16
    layers: FlowLayers = 2
    hidden: FlowWidth = 64

    def build(self, summary_dim: int) -> "FlowPosterior":
        """Build the module for summaries (of references) of width `summary_dim`.

        Raises:
            MachineError: the extra `style` is not installed.
        """
        return FlowPosterior(summary_dim, self)


class FlowPosterior(nn.Module):
    """Posterior by an inverse autoregressive flow that is conditioned on the reference's summary.

    `IAFConfig().build(summary_dim)` makes it. Calling it maps summaries (batch, summary_dim) to
    distributions over codes (batch, dim); one pass of the flow gives a draw and the draw's density.

    Args:
        summary_dim: width of the summary, the reference encoder's output for an utterance.
        config: an `IAFConfig`.
    """

    def __init__(self, summary_dim: int, config: IAFConfig) -> None:
        super().__init__()
        self.code_shape = (config.dim,)
        sizes = {"layers": config.layers, "hidden": config.hidden, "context": summary_dim}
        self.flow = with_values(lambda: flows.iaf(config.dim, **sizes))

    def forward(self, summary: Summary) -> Inferred:
        """Map summaries (batch, summary_dim) to distributions over codes (batch, dim).

        The mean code is the flow's image of the base distribution's mean, which needs no sampling.
        """
        distribution = FlowDistribution(self.flow(summary))
        return Inferred(distribution.centre(), distribution)


Shape = torch.Size | list[int] | tuple[int, ...]


class FlowDistribution(Distribution):
    """torch distribution of a zuko flow, which caches the density of its last draw.

    `log_prob` costs nothing for the tensor that `rsample` returned last; for other values it
    inverts the flow, with one pass per dimension if the flow is inverse autoregressive.

    Args:
        flow: distribution of zuko, of batch shape (batch) and event shape (dim,).
    """

    has_rsample = True

    def __init__(self, flow: Any) -> None:
        super().__init__(flow.batch_shape, flow.event_shape, validate_args=False)
        self.flow = flow
        self._last: tuple[Tensor, Tensor] | None = None

    def centre(self) -> Tensor:
        """Return the image (batch, dim) of the base distribution's mean under the flow."""
        base = self.flow.base.mean.expand(self.batch_shape + self.event_shape)
        return self.flow.transform.inv(base)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw codes, through which gradients flow.

        Args:
            sample_shape: shape of the set of draws for each item.

        Returns:
            Codes (*sample_shape, batch, dim).
        """
        self._last = self.flow.rsample_and_log_prob(torch.Size(sample_shape))
        return self._last[0]

    def log_prob(self, value: Tensor) -> Tensor:
        """Compute the log-density of codes.

        Args:
            value: (…, batch, dim).

        Returns:
            Log-densities in nats (…, batch).
        """
        if self._last is not None and value is self._last[0]:
            return self._last[1]
        return self.flow.log_prob(value)
