"""Statistics of a style's codes: active units, KL divergence, mutual information, token entropy."""

from collections.abc import Sequence

import torch
from torch.distributions import Distribution

from speechseq.errors import DataError
from speechseq.models.style.latent import Code, Latent
from speechseq.models.style.penalties import kl, mutual_information
from speechseq.models.style.style import Style

ACTIVE = 0.01  # variance of a unit's mean code over items from which it counts (Burda 2016)


@torch.no_grad()
def statistics(style: Style, latents: Sequence[Latent]) -> dict[str, float]:
    """Measure the codes of a set of references: how much of the latent space is in use.

    Args:
        style: the style module, for its prior.
        latents: results of `Style.encode` in evaluation mode, where codes are the posteriors'
            means.

    Returns:
        A dict of numbers by name. "active_units": share of the code's dimensions with a variance
        over items above 0.01; for style tokens, share of the weights with a variance above 0.001.
        "token_entropy", for style tokens: entropy of the mean weights, in nats. "kl" and
        "mutual_information", if there is a posterior distribution: means over batches, in nats.

    Raises:
        DataError: fewer than 2 items.
    """
    codes = torch.cat([latent.code for latent in latents])
    if len(codes) < 2:
        raise DataError("statistics of a style need 2 references", "give more of them")
    tokens = codes.dim() == 3
    least = ACTIVE / 10 if tokens else ACTIVE
    found = {"active_units": float((codes.var(0) > least).double().mean())}
    if tokens:
        found["token_entropy"] = _entropy(codes)
    if all(latent.posterior is not None for latent in latents):
        prior = style.prior()
        parts = [_information(latent, prior) for latent in latents]
        for i, name in enumerate(("kl", "mutual_information")):
            found[name] = sum(part[i] for part in parts) / len(parts)
    return found


def _entropy(codes: Code) -> float:
    """Entropy of each head's mean weights, averaged over heads: log(tokens) if all are used."""
    mean = codes.mean(0)
    return float(-(mean * mean.clamp(min=1e-30).log()).sum(-1).mean())


def _information(latent: Latent, prior: Distribution) -> tuple[float, float]:
    assert latent.posterior is not None
    divergence = float(kl(latent.posterior, prior))
    return divergence, float(mutual_information(latent.posterior, prior)[1])
