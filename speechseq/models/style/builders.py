"""Functions that build the style configurations of papers; the bodies are the papers' tables."""

from typing import Literal

from speechseq.models.style.banks import LinearBankConfig, TokenBankConfig
from speechseq.models.style.matching import MMDConfig
from speechseq.models.style.penalties import (
    Anneal,
    CapacityConfig,
    KLConfig,
    NoPenaltyConfig,
)
from speechseq.models.style.posteriors import IAFConfig, NormalConfig, PointConfig
from speechseq.models.style.priors import (
    DirichletPriorConfig,
    MixtureConfig,
    NormalPriorConfig,
    RealNVPConfig,
)
from speechseq.models.style.style import StyleConfig


def gst(*, tokens: int = 10, heads: int = 4, style_dim: int = 256) -> StyleConfig:
    """Global style tokens (Wang 2018, §3.1): the reference's summary attends to learned tokens.

    Args:
        tokens, heads: number of tokens, and of attention heads over them.
        style_dim: width of the style vector.
    """
    return StyleConfig(
        posterior=PointConfig(dim=None),
        bank=TokenBankConfig(tokens=tokens, heads=heads, style_dim=style_dim),
        prior=DirichletPriorConfig(concentration=0.3),
        penalty=NoPenaltyConfig(),
    )


def prosody_transfer(*, dim: int = 128) -> StyleConfig:
    """Prosody transfer (Skerry-Ryan 2018, §3.2): a deterministic code of `dim` tanh values."""
    return StyleConfig(
        posterior=PointConfig(dim=dim, activation="tanh"),
        bank=LinearBankConfig(style_dim=dim),
        prior=NormalPriorConfig(),
        penalty=NoPenaltyConfig(),
    )


def autoencoder(*, dim: int = 16, style_dim: int = 256) -> StyleConfig:
    """Plain autoencoder, the control condition: a deterministic code without any penalty.

    Samples of the prior are unlike the codes of references, because no penalty matches the two
    distributions.

    Args:
        dim, style_dim: width of the code, and of the style vector made of it.
    """
    return StyleConfig(
        posterior=PointConfig(dim=dim),
        bank=LinearBankConfig(style_dim=style_dim),
        prior=NormalPriorConfig(),
        penalty=NoPenaltyConfig(),
    )


def vae(
    *,
    weight: float = 1.0,
    anneal: Anneal = "linear",
    free_bits: float = 0.0,
    length: int = 1000,
    dim: int = 16,
    style_dim: int = 256,
) -> StyleConfig:
    """Variational autoencoder (Kingma & Welling 2014; for Tacotron: Zhang 2019).

    Args:
        weight: weight of the KL divergence after `length` updates; since the other losses are means
            over frames and bands, 1e-4 to 1e-2 suits a Tacotron.
        anneal: shape of the weight's rise from 0: "linear", "logistic" (a sigmoid) or "cyclic"
            (four rises).
        free_bits: nats of KL divergence in each dimension that are not penalised.
        length: updates over which the weight rises.
        dim, style_dim: width of the code, and of the style vector made of it.
    """
    return StyleConfig(
        posterior=NormalConfig(dim=dim),
        bank=LinearBankConfig(style_dim=style_dim),
        prior=NormalPriorConfig(),
        penalty=KLConfig(weight=weight, anneal=anneal, length=length, free_bits=free_bits),
    )


def capacitron(
    *, capacity: float = 50.0, weight: float = 1.0, dim: int = 128, style_dim: int = 256
) -> StyleConfig:
    """VAE whose KL divergence is held at a capacity by a learned weight (Battenberg 2019).

    Args:
        capacity: KL divergence of an utterance's code from the prior, in nats.
        weight: weight of the whole term in the loss.
        dim, style_dim: width of the code, and of the style vector made of it.
    """
    return StyleConfig(
        posterior=NormalConfig(dim=dim),
        bank=LinearBankConfig(style_dim=style_dim),
        prior=NormalPriorConfig(),
        penalty=CapacityConfig(capacity=capacity, weight=weight),
    )


def gmvae(
    *, components: int = 10, weight: float = 1.0, dim: int = 16, style_dim: int = 256
) -> StyleConfig:
    """VAE whose prior is a learned mixture of normal distributions (Hsu 2019).

    Args:
        components: number of normal distributions in the mixture.
        weight: weight of the KL divergence in the loss.
        dim, style_dim: width of the code, and of the style vector made of it.
    """
    return StyleConfig(
        posterior=NormalConfig(dim=dim),
        bank=LinearBankConfig(style_dim=style_dim),
        prior=MixtureConfig(components=components),
        penalty=KLConfig(weight=weight),
    )


def wae_mmd(
    *,
    weight: float = 10.0,
    statistic: Literal["u", "v"] = "u",
    dim: int = 16,
    style_dim: int = 256,
) -> StyleConfig:
    """Wasserstein autoencoder (Tolstikhin 2018): MMD matches the set of all codes to the prior.

    Args:
        weight: weight of the maximum mean discrepancy (MMD) in the loss.
        statistic: its estimator: "u" is unbiased and may be negative, "v" is at least 0.
        dim, style_dim: width of the code, and of the style vector made of it.
    """
    return StyleConfig(
        posterior=PointConfig(dim=dim),
        bank=LinearBankConfig(style_dim=style_dim),
        prior=NormalPriorConfig(),
        penalty=MMDConfig(weight=weight, kernel="imq", statistic=statistic),
    )


def flow_vae(*, weight: float = 1.0, dim: int = 16, style_dim: int = 256) -> StyleConfig:
    """VAE whose prior is a RealNVP flow, learned together with it (Dinh 2017).

    Args:
        weight: weight of the KL divergence in the loss.
        dim, style_dim: width of the code, and of the style vector made of it.
    """
    return StyleConfig(
        posterior=NormalConfig(dim=dim),
        bank=LinearBankConfig(style_dim=style_dim),
        prior=RealNVPConfig(layers=4, hidden=64),
        penalty=KLConfig(weight=weight),
    )


def iaf_vae(*, weight: float = 1.0, dim: int = 16, style_dim: int = 256) -> StyleConfig:
    """VAE whose posterior is an inverse autoregressive flow (Kingma 2016).

    Args:
        weight: weight of the KL divergence in the loss.
        dim, style_dim: width of the code, and of the style vector made of it.
    """
    return StyleConfig(
        posterior=IAFConfig(dim=dim, layers=2, hidden=64),
        bank=LinearBankConfig(style_dim=style_dim),
        prior=NormalPriorConfig(),
        penalty=KLConfig(weight=weight),
    )
