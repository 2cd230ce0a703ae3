"""Priors: distributions over codes, fixed or learned, from which styles are sampled."""

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import (
    Categorical,
    Dirichlet,
    Distribution,
    Independent,
    MixtureSameFamily,
    Normal,
)

from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.nn import flows
from speechseq.nn.meta_build import with_values
from speechseq.ranges import Range

Shape = tuple[int, ...]
FlowLayers = Annotated[int, Range(1, 64)]
FlowWidth = Annotated[int, Range(1, 1024)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormalPriorConfig(Config):
    """Settings of the standard normal prior over codes; it has no fields."""

    kind: ClassVar[str] = "normal"

    def build(self, code_shape: Shape) -> "NormalPrior":
        """Build the prior over codes of shape `code_shape`."""
        return NormalPrior(code_shape)


class NormalPrior(nn.Module):
    """Standard normal prior over codes of shape `code_shape`.

    `NormalPriorConfig().build(code_shape)` makes it. Calling it without arguments returns the torch
    distribution, from which a `Style` samples codes, and which the penalties compare with the
    codes.

    Args:
        code_shape: shape of a code, such as (dim,).
    """

    zero: Tensor

    def __init__(self, code_shape: Shape) -> None:
        super().__init__()
        self.register_buffer("zero", torch.zeros(code_shape), persistent=False)

    def forward(self) -> Distribution:
        """Return the distribution, of event shape `code_shape`, on the module's device."""
        normal = Normal(self.zero, torch.ones_like(self.zero), validate_args=False)
        return Independent(normal, self.zero.dim())


@dataclasses.dataclass(frozen=True, kw_only=True)
class DirichletPriorConfig(Config):
    """Settings of a symmetric Dirichlet prior over the weights of style tokens in each head.

    Attributes:
        concentration: below 1, most weight lies on few tokens. (A softmax of random numbers would
            be close to the mean of all tokens, which has no audible style.)
    """

    kind: ClassVar[str] = "dirichlet"
    concentration: Annotated[float, Range(1e-3, 1e3)] = 0.3

    def build(self, code_shape: Shape) -> "DirichletPrior":
        """Build the prior over weights of tokens; `code_shape` is (heads, tokens).

        Raises:
            ConfigError: the code has another number of axes.
        """
        if len(code_shape) != 2:
            raise ConfigError(
                f"prior.kind: 'dirichlet' is for weights of tokens, the code has {code_shape}",
                "use TokenBankConfig, or NormalPriorConfig",
            )
        return DirichletPrior(code_shape, self)


class DirichletPrior(nn.Module):
    """Symmetric Dirichlet prior over the weights of style tokens, one distribution per head.

    `DirichletPriorConfig().build(code_shape)` makes it. Calling it without arguments returns the
    torch distribution, of event shape (heads, tokens).

    Args:
        code_shape: shape of a code, (heads, tokens).
        config: a `DirichletPriorConfig`.
    """

    concentration: Tensor

    def __init__(self, code_shape: Shape, config: DirichletPriorConfig) -> None:
        super().__init__()
        full = torch.full(code_shape, config.concentration)
        self.register_buffer("concentration", full, persistent=False)

    def forward(self) -> Distribution:
        """Return the distribution, of event shape (heads, tokens), with sum 1 in each head."""
        return Independent(Dirichlet(self.concentration), 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixtureConfig(Config):
    """Settings of a learned mixture of normal distributions, the prior of a GMVAE (Hsu 2019).

    Attributes:
        components: number of normal distributions.
    """

    kind: ClassVar[str] = "mixture"
    components: Annotated[int, Range(2, 4096)] = 10

    def build(self, code_shape: Shape) -> "Mixture":
        """Build the prior over codes of shape `code_shape`, (dim,)."""
        return Mixture(_width(code_shape), self)


class Mixture(nn.Module):
    """Mixture prior of normal distributions with learned shares, means and standard deviations.

    `MixtureConfig().build((dim,))` makes it. Calling it without arguments returns the torch
    distribution, of event shape (dim,).

    Args:
        dim: width of a code.
        config: a `MixtureConfig`.
    """

    def __init__(self, dim: int, config: MixtureConfig) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(config.components))
        self.mean = nn.Parameter(torch.randn(config.components, dim))
        self.log_sd = nn.Parameter(torch.full((config.components, dim), math.log(0.5)))

    def forward(self) -> Distribution:
        """Return the distribution, of event shape (dim,)."""
        normal = Normal(self.mean, self.log_sd.clamp(-5.0, 5.0).exp())
        return MixtureSameFamily(Categorical(logits=self.logits), Independent(normal, 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class RealNVPConfig(Config):
    """Settings of a RealNVP prior over codes, a flow of affine couplings (Dinh 2017).

    Attributes:
        layers: number of couplings.
        hidden: width of the couplings' networks.
    """

    kind: ClassVar[str] = "real_nvp"
    layers: FlowLayers = 4
    hidden: FlowWidth = 64

    def build(self, code_shape: Shape) -> "FlowPrior":
        """Build the prior over codes of shape `code_shape`, (dim,).

        Raises:
            MachineError: the extra `style` is not installed.
        """
        return FlowPrior(flows.real_nvp, code_shape, self.layers, self.hidden)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GlowConfig(Config):
    """Settings of a Glow prior: couplings and learned linear maps (Kingma & Dhariwal 2018).

    Attributes:
        layers: number of couplings.
        hidden: width of the couplings' networks.
    """

    kind: ClassVar[str] = "glow"
    layers: FlowLayers = 4
    hidden: FlowWidth = 64

    def build(self, code_shape: Shape) -> "FlowPrior":
        """Build the prior over codes of shape `code_shape`, (dim,).

        Raises:
            MachineError: the extra `style` is not installed.
        """
        return FlowPrior(flows.glow, code_shape, self.layers, self.hidden)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MAFConfig(Config):
    """Settings of a masked autoregressive flow as prior over codes (Papamakarios 2017).

    Attributes:
        layers: number of transforms.
        hidden: width of the transforms' networks.
    """

    kind: ClassVar[str] = "maf"
    layers: FlowLayers = 3
    hidden: FlowWidth = 64

    def build(self, code_shape: Shape) -> "FlowPrior":
        """Build the prior over codes of shape `code_shape`, (dim,).

        Raises:
            MachineError: the extra `style` is not installed.
        """
        return FlowPrior(flows.maf, code_shape, self.layers, self.hidden)


class FlowPrior(nn.Module):
    """Prior over codes: a standard normal distribution mapped by a normalizing flow.

    `RealNVPConfig`, `GlowConfig` and `MAFConfig` build it. Calling it without arguments returns the
    distribution, of event shape (dim,).

    Args:
        make: function of `nn.flows` that builds the flow.
        code_shape: shape of a code, (dim,).
        layers: number of the flow's transforms.
        hidden: width of the transforms' networks.
    """

    def __init__(
        self, make: Callable[..., nn.Module], code_shape: Shape, layers: int, hidden: int
    ) -> None:
        super().__init__()
        dim = _width(code_shape)
        self.flow = with_values(lambda: make(dim, layers=layers, hidden=hidden))

    def forward(self) -> Distribution:
        """Return the distribution, of event shape (dim,)."""
        return self.flow()


def _width(code_shape: Shape) -> int:
    """Return the only axis of a code.

    Raises:
        ConfigError: the code has weights of several heads.
    """
    if len(code_shape) != 1:
        raise ConfigError(
            f"prior: a density of vectors; the code has the shape {code_shape}",
            "use DirichletPriorConfig for weights of tokens",
        )
    return code_shape[0]
