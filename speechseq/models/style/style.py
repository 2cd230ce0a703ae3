"""Style: a latent variable of a Tacotron, its four operations, and the parts it consists of."""

import contextlib
import dataclasses
from collections.abc import Iterator
from collections.abc import Sequence as Series
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from speechseq.arguments import checked_lengths
from speechseq.config import Config, choice
from speechseq.errors import ConfigError
from speechseq.models.style.banks import LinearBankConfig, TokenBankConfig
from speechseq.models.style.latent import Latent
from speechseq.models.style.matching import MMDConfig, SinkhornConfig
from speechseq.models.style.penalties import (
    CapacityConfig,
    KLConfig,
    NoPenaltyConfig,
)
from speechseq.models.style.posteriors import (
    DirichletConfig,
    IAFConfig,
    Inferred,
    LaplaceConfig,
    NormalConfig,
    PointConfig,
)
from speechseq.models.style.priors import (
    DirichletPriorConfig,
    GlowConfig,
    MAFConfig,
    MixtureConfig,
    NormalPriorConfig,
    RealNVPConfig,
)
from speechseq.models.style.reference import ReferenceConfig
from speechseq.ranges import Count, DrawSeed, Finite, checked
from speechseq.shapes import Lengths, Mel

Seeds = int | Series[int] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class StyleConfig(Config):
    """Settings of a style, a latent variable for how an utterance is spoken: its five parts.

    `build(mels)` makes the `Style`; `TacotronConfig.style` takes these settings. Each part is a
    Config; a field accepts any Config whose `build` makes a module with the same methods as the
    built-in ones. `builders` has the combinations of published papers.

    Attributes:
        reference: reference encoder, which summarises a mel in a vector (batch, summary_dim).
        posterior: maps the summary to a code (the latent variable), or to a distribution of codes.
        bank: maps the code to the style vector (batch, style_dim) that a Tacotron reads.
        prior: distribution from which codes are sampled without a reference.
        penalty: term of the loss that keeps codes near the prior, such as the KL divergence.
    """

    reference: Config = choice(ReferenceConfig, default=ReferenceConfig())
    posterior: Config = choice(
        PointConfig,
        NormalConfig,
        LaplaceConfig,
        DirichletConfig,
        IAFConfig,
        default=NormalConfig(),
    )
    bank: Config = choice(LinearBankConfig, TokenBankConfig, default=LinearBankConfig())
    prior: Config = choice(
        NormalPriorConfig,
        DirichletPriorConfig,
        MixtureConfig,
        RealNVPConfig,
        GlowConfig,
        MAFConfig,
        default=NormalPriorConfig(),
    )
    penalty: Config = choice(
        NoPenaltyConfig,
        KLConfig,
        CapacityConfig,
        MMDConfig,
        SinkhornConfig,
        default=NoPenaltyConfig(),
    )

    def check(self) -> None:
        """Raise ConfigError for style tokens whose weights no part computes.

        They come from attention over the tokens, or from a `DirichletConfig`.
        """
        if not isinstance(self.bank, TokenBankConfig):
            return
        weights = isinstance(self.posterior, DirichletConfig)
        if weights == self.bank.queried or (
            not weights and not isinstance(self.posterior, PointConfig)
        ):
            raise ConfigError(
                f"bank.queried: {self.bank.queried} does not fit the posterior",
                "tokens are queried by PointConfig, or weighed by DirichletConfig, queried=False",
            )

    def build(self, mels: int) -> "Style":
        """Build the style for mels of `mels` bands.

        Raises:
            ConfigError: the parts have shapes that do not fit each other.
            MachineError: a part is a flow, and the extra `style` is not installed.
        """
        return Style(mels, self)


class Style(nn.Module):
    """Latent variable of a Tacotron; it can be inferred, sampled, set by hand, and penalised.

    `StyleConfig().build(mels)` makes it. `encode`, `sample`, `by_hand` and `default` return a
    `Latent`, which `Tacotron.generate` takes; in training, the Tacotron calls `encode` and
    `penalty`.

    Args:
        mels: number of mel bands of the references.
        config: a `StyleConfig`.

    Attributes:
        code_shape: shape of one code: (dim,), or (heads, tokens).
        style_dim: width of the style vector.
        mean_code, code_sd: running mean and standard deviation, (*code_shape), of all codes that
            were encoded in training mode; the mean is the default style.
        code_count: number of these codes.
    """

    mean_code: Tensor
    code_sd: Tensor
    code_count: Tensor

    def __init__(self, mels: int, config: StyleConfig) -> None:
        super().__init__()
        self.reference = _joint(config.reference, mels)
        self.posterior = _joint(config.posterior, self.reference.summary_dim)
        self.bank = _joint(config.bank, self.posterior.code_shape[0])
        self.code_shape, self.style_dim = tuple(self.bank.code_shape), self.bank.style_dim
        if isinstance(config.posterior, DirichletConfig):
            self._check_weights()
        self.prior = _joint(config.prior, self.code_shape)
        self.penalties = _joint(config.penalty)
        self.register_buffer("mean_code", self.bank.initial())
        self.register_buffer("code_sd", torch.zeros(self.code_shape))
        self.register_buffer("code_count", torch.tensor(0))

    def encode(self, mel: Mel, frame_lengths: Lengths, *, seed: Seeds = None) -> Latent:
        """Infer the style of each reference mel of a batch.

        Args:
            mel: (batch, frames, mels), on the network's scale (`Tacotron.inward`).
            frame_lengths: (batch), number of valid frames.
            seed: seed of the draw from the posterior, one for all rows or one per row; a row's draw
                does not depend on the other rows. None draws from torch's global generator in
                training, and takes the posterior's mean in evaluation.

        Returns:
            Codes (batch, *code_shape), style vectors (batch, style_dim), and the posterior.
        """
        lengths = checked_lengths(frame_lengths, mel.shape, "reference_lengths", least=1)
        summary = self.reference(mel, lengths)
        inferred = self.posterior(summary)
        code = self.bank.read(self._value(summary, inferred, seed))
        if self.training:
            self._track(code.detach())
        return Latent(code, self.bank(code), inferred.distribution)

    def sample(self, items: int, *, seed: Seeds = None) -> Latent:
        """Draw styles from the prior; returns a batch of `items` codes and style vectors.

        Args:
            items: number of styles.
            seed: one seed for all, so that style i is drawn from (seed, i), or one seed per style;
                None draws from torch's global generator.
        """
        items = checked("items", items, Count)
        prior = self.prior()
        if seed is None:
            return self._of(_drawn(prior, (items,)))
        rows = [_row_seed(seed, i) for i in range(items)] if isinstance(seed, int) else seed
        rows, codes = _seeds(rows, items), []
        for one in rows:
            with self._seeded(one):
                codes.append(_drawn(prior, (1,)))
        return self._of(torch.cat(codes))

    def by_hand(self, code: Tensor, *, scale: float = 1.0) -> Latent:
        """Set styles by hand, by their codes (items, *code_shape).

        Args:
            code: (items, *code_shape); style tokens also accept (items, tokens), the same for every
                head.
            scale: factor of the style vector.

        Raises:
            ConfigError: the code has another shape, NaN or Inf, or weights of tokens that do not
                sum to 1.
        """
        scale = checked("scale", scale, Finite)
        shapes = {self.code_shape, self.code_shape[-1:]}
        if code.dim() < 2 or tuple(code.shape[1:]) not in shapes:
            expected = " or ".join(f"(items, {', '.join(map(str, s))})" for s in sorted(shapes))
            raise ConfigError(f"style: a code of shape {tuple(code.shape)}", f"give {expected}")
        code = code.to(self.mean_code)
        if not bool(code.isfinite().all()):
            raise ConfigError("style: the code has NaN or Inf", "give finite numbers")
        code = self.bank.by_hand(code)
        return Latent(code, self.bank(code) * scale, None)

    def penalty(self, latent: Latent, *, update: int) -> dict[str, Tensor]:
        """Return the penalty of an encoded batch as weighted terms of the loss, scalars by name.

        Args:
            latent: styles of the batch, from `encode`.
            update: number of the optimizer update, on which the weights depend.
        """
        return self.penalties(latent, self.prior(), update)

    def default(self, items: int) -> Latent:
        """Return the default style, the mean of all codes encoded in training, `items` times."""
        return self._of(self.mean_code.expand(items, *self.code_shape))

    def _of(self, code: Tensor) -> Latent:
        return Latent(code, self.bank(code), None)

    def _value(self, summary: Tensor, inferred: Inferred, seed: Seeds) -> Tensor:
        """Draw from the posterior, or take its mean."""
        if inferred.distribution is None:
            return inferred.mean
        if seed is None:
            return inferred.distribution.rsample() if self.training else inferred.mean
        values = []
        for row, one in zip(summary, _seeds(seed, len(summary)), strict=True):
            with self._seeded(one):  # row by row: no draw depends on the batch
                values.append(self.posterior(row.unsqueeze(0)).distribution.rsample())
        return torch.cat(values)

    @torch.no_grad()
    def _track(self, code: Tensor) -> None:
        """Merge a batch into mean and standard deviation (Chan, Golub and LeVeque 1979)."""
        code = code.double()
        before, items = self.code_count, len(code)
        total = before + items
        share, apart = items / total, code.mean(0) - self.mean_code
        within = self.code_sd.double().square() * (before / total)
        within += code.var(0, correction=0) * share + apart.square() * (share * before / total)
        self.mean_code.copy_(self.mean_code + apart * share)
        self.code_sd.copy_(within.sqrt())
        self.code_count.add_(items)

    @contextlib.contextmanager
    def _seeded(self, seed: int) -> Iterator[None]:
        device = self.mean_code.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield

    def _check_weights(self) -> None:
        if tuple(self.posterior.code_shape) != self.code_shape:
            shapes = f"{tuple(self.posterior.code_shape)} and {self.code_shape}"
            problem = f"posterior: weights of (heads, tokens) {shapes}"
            raise ConfigError(problem, "give DirichletConfig and TokenBankConfig the same numbers")


def _joint(config: Config, *sizes: Any) -> Any:
    """Build a joint; the fields hold any Config, whose `build` mypy does not know."""
    build: Any = config.build  # type: ignore[attr-defined]
    return build(*sizes)


def _drawn(prior: Distribution, shape: tuple[int, ...]) -> Tensor:
    return prior.sample(torch.Size(shape))


def _seeds(seeds: int | Series[int], items: int) -> list[int]:
    """Return one checked seed a row."""
    rows = [seeds] * items if isinstance(seeds, int) else list(seeds)
    if len(rows) != items:
        raise ConfigError(f"seed: {len(rows)} seeds for {items} styles", "give one, or one a row")
    return [checked("seed", row, DrawSeed) for row in rows]


def _row_seed(seed: int, row: int) -> int:
    """Mix a seed and a row, so that neighbouring pairs share no stream."""
    entropy = [checked("seed", seed, DrawSeed) % 2**64, row]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
