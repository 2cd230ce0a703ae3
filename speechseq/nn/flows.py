"""Normalizing flows over vectors, built of zuko's transforms (extra `style`).

A flow is a module. Calling it returns a distribution with `log_prob`, `rsample_and_log_prob` and
`transform`, the invertible map from data to the standard normal base.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, Transform

from speechseq import extras
from speechseq.errors import ConfigError

_SLOPE = 1e-3  # smallest scale of an affine transform: its logarithm is bounded softly
_LOG_SCALE = 6.0  # largest logarithm of a scale that is set from data


def real_nvp(dim: int, *, layers: int = 4, hidden: int = 64, context: int = 0) -> nn.Module:
    """Build a RealNVP (Dinh 2017), a flow of affine couplings.

    A flow is a learned distribution of vectors: invertible transforms of a standard normal
    distribution. In a RealNVP, densities and draws take one pass through the networks each.

    Args:
        dim: size of the vectors.
        layers: number of transforms.
        hidden: width of the two hidden layers of each transform's network.
        context: size of a vector on which the distribution depends, given when the flow is called;
            0 for none.

    Returns:
        A zuko `Flow`, a module: calling `flow()`, or `flow(context)` with context (…, context),
        returns a distribution with `log_prob(x)` of x (…, dim) and `rsample`.

    Raises:
        ConfigError: `dim`, `layers` or `hidden` below 1.
        MachineError: the extra `style` is not installed.
    """
    coupling = _zuko(dim, layers, hidden).flows.coupling.GeneralCouplingTransform
    return _flow(dim, [_coupling(coupling, dim, i, hidden, context) for i in range(layers)])


def maf(dim: int, *, layers: int = 4, hidden: int = 64, context: int = 0) -> nn.Module:
    """Build a masked autoregressive flow (Papamakarios 2017).

    A flow is a learned distribution of vectors: invertible transforms of a standard normal
    distribution. Here a density takes one pass through the network, a draw `dim` passes.

    Args:
        dim: size of the vectors.
        layers: number of transforms.
        hidden: width of the two hidden layers of each transform's network.
        context: size of a vector on which the distribution depends, given when the flow is called;
            0 for none.

    Returns:
        A zuko `Flow`, a module: calling `flow()`, or `flow(context)` with context (…, context),
        returns a distribution with `log_prob(x)` of x (…, dim) and `rsample`.

    Raises:
        ConfigError: `dim`, `layers` or `hidden` below 1.
        MachineError: the extra `style` is not installed.
    """
    return _flow(dim, _autoregressive(dim, layers, hidden, context))


def iaf(dim: int, *, layers: int = 4, hidden: int = 64, context: int = 0) -> nn.Module:
    """Build an inverse autoregressive flow (Kingma 2016).

    A flow is a learned distribution of vectors: invertible transforms of a standard normal
    distribution. Here a draw and its density take one pass together; the density of any other
    vector takes `dim` passes.

    Args:
        dim: size of the vectors.
        layers: number of transforms.
        hidden: width of the two hidden layers of each transform's network.
        context: size of a vector on which the distribution depends, given when the flow is called;
            0 for none.

    Returns:
        A zuko `Flow`, a module: calling `flow()`, or `flow(context)` with context (…, context),
        returns a distribution with `log_prob(x)` of x (…, dim) and `rsample`.

    Raises:
        ConfigError: `dim`, `layers` or `hidden` below 1.
        MachineError: the extra `style` is not installed.
    """
    return _flow(dim, [layer.inv for layer in _autoregressive(dim, layers, hidden, context)])


def glow(dim: int, *, layers: int = 4, hidden: int = 64, context: int = 0) -> nn.Module:
    """Build a Glow (Kingma 2018) for vectors: activation normalisation, linear maps, couplings.

    A flow is a learned distribution of vectors: invertible transforms of a standard normal
    distribution. A linear map P·L·U starts as a random rotation; its permutation P is not learned.
    The activation normalisation starts as the identity and is not set by the first call, as Glow's
    is; call `fit_activations` to set it from data.

    Args:
        dim: size of the vectors.
        layers: number of couplings.
        hidden: width of the two hidden layers of each coupling's network.
        context: size of a vector on which the distribution depends, given when the flow is called;
            0 for none.

    Returns:
        A zuko `Flow`, a module: calling `flow()`, or `flow(context)` with context (…, context),
        returns a distribution with `log_prob(x)` of x (…, dim) and `rsample`.

    Raises:
        ConfigError: `dim`, `layers` or `hidden` below 1.
        MachineError: the extra `style` is not installed.
    """
    zuko = _zuko(dim, layers, hidden)
    coupling = zuko.flows.coupling.GeneralCouplingTransform
    lazy = zuko.lazy.UnconditionalTransform
    stack: list[nn.Module] = []
    for i in range(layers):
        stack.append(lazy(_affine, shift=torch.zeros(dim), scale=torch.zeros(dim)))
        stack += _rotation(zuko, dim)
        stack.append(_coupling(coupling, dim, i, hidden, context))
    return _flow(dim, stack)


@torch.no_grad()
def fit_activations(flow: nn.Module, x: Tensor, context: Tensor | None = None) -> None:
    """Set a Glow's activation normalisations so that outputs for `x` have mean 0 and deviation 1.

    Args:
        flow: flow made by `glow`.
        x: data (items, dim), at least two rows.
        context: condition of each item (items, context), for a conditional flow.
    """
    transform: Any = flow.transform
    for layer in transform.transforms:
        if getattr(layer, "f", None) is _affine:
            log_scale = -x.std(0).log().clamp(-_LOG_SCALE, _LOG_SCALE)
            # the inverse of zuko's bound, s / (1 + |s| / bound)
            layer.scale.copy_(log_scale / (1 - log_scale.abs() / -math.log(_SLOPE)))
            layer.shift.copy_(-x.mean(0) * log_scale.exp())
        x = layer(context)(x)


def _zuko(dim: int, layers: int, hidden: int) -> Any:
    """Import zuko, after a check of the sizes and of the extra."""
    for name, size in {"dim": dim, "layers": layers, "hidden": hidden}.items():
        if size < 1:
            raise ConfigError(f"a flow with {name} {size}", f"give a {name} of at least 1")
    extras.need("style")
    checks = Distribution._validate_args
    import zuko

    # zuko switches the argument checks of every torch distribution off while it is imported
    Distribution.set_default_validate_args(checks)
    return zuko


def _flow(dim: int, transforms: Iterable[nn.Module]) -> nn.Module:
    from zuko.lazy import Flow, UnconditionalDistribution

    sizes = {"loc": torch.zeros(dim), "scale": torch.ones(dim)}
    return Flow(list(transforms), UnconditionalDistribution(_normal, buffer=True, **sizes))


def _normal(loc: Tensor, scale: Tensor) -> Distribution:
    """Diagonal normal without checks: a NaN is the trainer's to report."""
    return Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)


def _affine(shift: Tensor, scale: Tensor) -> Transform:
    from zuko.transforms import DependentTransform, MonotonicAffineTransform

    return DependentTransform(MonotonicAffineTransform(shift, scale, slope=_SLOPE), 1)


def _coupling(
    build: Callable[..., nn.Module], dim: int, layer: int, hidden: int, context: int
) -> nn.Module:
    mask = torch.arange(dim) % 2 == layer % 2
    return build(dim, context, mask, hidden_features=(hidden, hidden))


def _autoregressive(dim: int, layers: int, hidden: int, context: int) -> Sequence[Any]:
    zuko = _zuko(dim, layers, hidden)
    build = zuko.flows.autoregressive.MaskedAutoregressiveTransform
    orders = (torch.arange(dim), torch.arange(dim).flip(0))
    sizes = (hidden, hidden)
    return [build(dim, context, order=orders[i % 2], hidden_features=sizes) for i in range(layers)]


def _rotation(zuko: Any, dim: int) -> list[nn.Module]:
    """Permutation and LU map whose product is a random rotation."""
    permutation, lower, upper = torch.linalg.lu(torch.linalg.qr(torch.randn(dim, dim)).Q)
    pivots = upper.diagonal()
    lu = (lower * pivots).tril() + (upper / pivots.unsqueeze(1)).triu(1)
    lazy, transforms = zuko.lazy.UnconditionalTransform, zuko.transforms
    order = permutation.argmax(1)  # row i of P·y is y[order[i]]
    return [
        lazy(transforms.LULinearTransform, lu),
        lazy(transforms.PermutationTransform, order, buffer=True),
    ]
