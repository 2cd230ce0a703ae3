"""Maximum mean discrepancy: a differentiable distance of distributions, computed from samples."""

import torch
from jaxtyping import Float
from torch import Tensor

from speechseq.errors import ConfigError, DataError
from speechseq.shapes import Scalar

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def mmd(
    x: Float[Tensor, "items dim"],
    y: Float[Tensor, "others dim"],
    *,
    kernel: str = "imq",
    statistic: str = "u",
    sigma: float | int = 1.0,
) -> Scalar:
    """Estimate the squared maximum mean discrepancy of two distributions (Gretton 2012).

    The kernel is a sum over the scales C = 2·dim·sigma²·s, s in `SCALES`, of C / (C + ‖x−y‖²) for
    "imq" (Tolstikhin 2018) or exp(−‖x−y‖² / C) for "rbf". 2·dim·sigma² is the expected squared
    distance of two points of a normal distribution with standard deviation `sigma`.

    Args:
        x: sample (items, dim) of the first distribution.
        y: sample (others, dim) of the second distribution.
        kernel: "imq" (inverse multiquadric, heavy-tailed, so that far points keep a gradient) or
            "rbf".
        statistic: "u" leaves out the kernel of each point with itself: unbiased, may be negative.
            "v" keeps it: at least 0, with a bias that shrinks as one over the number of points.
        sigma: standard deviation of the distribution that is compared with, such as a prior.

    Returns:
        The estimate, a differentiable scalar.

    Raises:
        DataError: one of the samples has fewer than 2 points.
        ConfigError: an unknown kernel or statistic, or sigma not above 0.
    """
    _check(len(x), len(y), kernel, statistic, sigma)
    scales = 2 * x.shape[-1] * sigma**2 * torch.tensor(SCALES, dtype=x.dtype, device=x.device)
    across = _kernel(x, y, scales, kernel).mean()
    return (
        _within(x, scales, kernel, statistic) + _within(y, scales, kernel, statistic) - 2 * across
    )


def _within(x: Tensor, scales: Tensor, kernel: str, statistic: str) -> Tensor:
    """Mean kernel of pairs of one sample, pairs of a point with itself left out for "u"."""
    n, values = len(x), _kernel(x, x, scales, kernel)
    if statistic == "v":
        return values.mean()
    return (values.sum() - values.diagonal().sum()) / (n * (n - 1))


def _kernel(x: Tensor, y: Tensor, scales: Tensor, kernel: str) -> Tensor:
    # differences, not torch.cdist: its gradient at coincident points is that of a root
    squared = (x.unsqueeze(1) - y.unsqueeze(0)).square().sum(-1).unsqueeze(-1)
    if kernel == "rbf":
        return torch.exp(-squared / scales).sum(-1)
    return (scales / (scales + squared)).sum(-1)


def _check(items: int, others: int, kernel: str, statistic: str, sigma: float | int) -> None:
    if min(items, others) < 2:
        raise DataError(
            f"the discrepancy of {items} and {others} points is not defined",
            "give at least 2 points of each, in training a batch of 2 or more",
        )
    for name, value, known in (
        ("kernel", kernel, ("imq", "rbf")),
        ("statistic", statistic, ("u", "v")),
    ):
        if value not in known:
            raise ConfigError(f"unknown {name} {value!r}", f"use one of {', '.join(known)}")
    if not sigma > 0:
        raise ConfigError(f"sigma {sigma}", "give a standard deviation above 0")
