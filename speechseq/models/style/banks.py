"""Banks: maps from a code to a style vector, linear or as a mixture of style tokens."""

import dataclasses
import math
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.models.style.latent import Code, StyleVector
from speechseq.ranges import Count, Range, Width

SIMPLEX_ERROR = 1e-4  # by which the weights of tokens may miss the sum of 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearBankConfig(Config):
    """Settings of a `LinearBank`, a linear map from codes to style vectors.

    Attributes:
        style_dim: width of the style vector.
    """

    kind: ClassVar[str] = "linear"
    style_dim: Width = 256

    def build(self, code_dim: int) -> "LinearBank":
        """Build the bank for codes of width `code_dim`."""
        return LinearBank(code_dim, self)


class LinearBank(nn.Module):
    """Linear map from codes (batch, code_dim) to style vectors (batch, style_dim).

    A code is the latent variable of a style; the style vector is what the model reads.
    `LinearBankConfig().build(code_dim)` makes the bank. A `Style` calls `read` on the posterior's
    output, then the bank itself on the code.

    Args:
        code_dim: width of the code.
        config: a `LinearBankConfig`.
    """

    def __init__(self, code_dim: int, config: LinearBankConfig) -> None:
        super().__init__()
        self.code_shape, self.style_dim = (code_dim,), config.style_dim
        self.linear = nn.Linear(code_dim, config.style_dim)

    def initial(self) -> Tensor:
        """Return zeros (code_dim), the default code while no reference has been encoded."""
        return torch.zeros(self.code_shape)

    def read(self, z: Tensor) -> Tensor:
        """Return the code of a style: a sample or mean of the posterior, unchanged.

        Args:
            z: (batch, code_dim).

        Returns:
            Codes (batch, code_dim).
        """
        return z

    def by_hand(self, code: Tensor) -> Tensor:
        """Return codes that a user has set, unchanged: every code is valid.

        Args:
            code: (items, code_dim).

        Returns:
            Codes (items, code_dim).
        """
        return code

    def forward(self, code: Code) -> StyleVector:
        """Map codes to style vectors.

        Args:
            code: (batch, code_dim).

        Returns:
            Style vectors (batch, style_dim).
        """
        return self.linear(code)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenBankConfig(Config):
    """Settings of style tokens (Wang 2018); a code holds the weights of the tokens in each head.

    Attributes:
        tokens: number of tokens, each of style_dim / heads channels.
        heads: attention heads; each has its own weights.
        style_dim: width of the style vector.
        queried: True if the weights come from attention, with the summary of the reference as
            query; False if the posterior is over the weights themselves (`DirichletConfig`).
    """

    kind: ClassVar[str] = "tokens"
    tokens: Annotated[int, Range(2, 4096)] = 10
    heads: Count = 4
    style_dim: Width = 256
    queried: bool = True

    def check(self) -> None:
        """Raise ConfigError unless `style_dim` is divisible by the heads."""
        if self.style_dim % self.heads:
            problem = f"heads: {self.heads} do not divide a style_dim of {self.style_dim}"
            raise ConfigError(problem, "choose a style_dim that is a multiple of heads")

    def build(self, code_dim: int) -> "TokenBank":
        """Build the bank; `code_dim` is the width of the query, the reference's summary."""
        return TokenBank(code_dim, self)


class TokenBank(nn.Module):
    """Style tokens: learned vectors under a tanh, mixed by attention heads (Wang 2018, §3.1).

    `TokenBankConfig().build(query_dim)` makes it. A code is the weights of the tokens, (batch,
    heads, tokens). `read` computes these weights from queries (batch, query_dim); calling the bank
    maps the weights to style vectors (batch, style_dim).

    Args:
        query_dim: width of the query, the summary of the reference.
        config: a `TokenBankConfig`.
    """

    def __init__(self, query_dim: int, config: TokenBankConfig) -> None:
        super().__init__()
        heads, width = config.heads, config.style_dim
        self.code_shape, self.style_dim = (heads, config.tokens), width
        self.tokens = nn.Parameter(0.5 * torch.randn(config.tokens, width // heads))
        self.query = nn.Linear(query_dim, width, bias=False) if config.queried else None
        self.key = nn.Linear(width // heads, width, bias=False) if config.queried else None
        self.value = nn.Linear(width // heads, width, bias=False)
        # torch's own initial weights give energies of .04, and so weights that stay near 1 / tokens
        # for thousands of updates; from these, queries and keys begin with values of about 1
        if self.query is not None and self.key is not None:
            nn.init.normal_(self.query.weight, std=4 / math.sqrt(query_dim))
            nn.init.normal_(self.key.weight, std=2 / math.sqrt(width // heads))

    def initial(self) -> Tensor:
        """Return equal weights (heads, tokens), the default code until a reference is encoded."""
        return torch.full(self.code_shape, 1.0 / self.code_shape[1])

    def read(self, z: Tensor) -> Tensor:
        """Compute the weights of the tokens, the code of a style.

        Args:
            z: query of the attention, (batch, query_dim), if `queried` is True; otherwise the
                weights.

        Returns:
            Weights (batch, heads, tokens), with sum 1 in each head.
        """
        if self.query is None or self.key is None:
            return z
        query = self.query(z).unflatten(-1, (self.code_shape[0], -1))
        energies = torch.einsum("bhd,thd->bht", query, self._heads(self.key))
        return torch.softmax(energies / math.sqrt(query.shape[-1]), dim=-1)

    def by_hand(self, code: Tensor) -> Tensor:
        """Check weights of tokens that a user has set.

        Args:
            code: (items, heads, tokens), or (items, tokens), which applies to every head.

        Returns:
            Weights (items, heads, tokens).

        Raises:
            ConfigError: weights are negative or do not sum to 1.
        """
        sums = code.sum(-1)
        if bool((code < -SIMPLEX_ERROR).any()) or bool(((sums - 1).abs() > SIMPLEX_ERROR).any()):
            worst = float(sums.flatten()[(sums - 1).abs().argmax()])
            problem = (
                f"style: weights of tokens sum to {worst:.4g}, smallest {float(code.min()):.4g}"
            )
            raise ConfigError(problem, "give weights from 0 to 1 that sum to 1 in each head")
        return code.unsqueeze(1).expand(-1, *self.code_shape) if code.dim() == 2 else code

    def forward(self, code: Code) -> StyleVector:
        """Map weights of tokens to style vectors.

        Args:
            code: (batch, heads, tokens).

        Returns:
            Style vectors (batch, style_dim).
        """
        return torch.einsum("bht,thd->bhd", code, self._heads(self.value)).flatten(1)

    def _heads(self, projection: nn.Linear) -> Tensor:
        """Project the tokens to (tokens, heads, channels)."""
        return projection(self.tokens.tanh()).unflatten(-1, (self.code_shape[0], -1))
