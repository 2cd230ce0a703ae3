"""Decides whether a fast path may read a module's parameters instead of calling the module.

Only a call runs hooks, adapters around a layer, pruning, weight norm and other parametrizations,
and quantised or replaced layers. A fast path checks this once per call; if a module is not plain,
the reference path runs, which calls every module.
"""

from torch import Tensor, nn
from torch.nn.modules import module as global_hooks
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_HOMES = ("torch.nn.modules.", "speechseq.")
_REMAKING = (BasePruningMethod, SpectralNorm, WeightNorm)


def is_plain(module: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Return True if a call of the module runs nothing but the `forward` of one of these classes.

    The module then has no hooks (and torch no global ones), no parametrization, no replaced
    `forward`, and its parameters are plain tensors. Submodules are not checked.

    Args:
        module: the module to check.
        kinds: the classes; by default every class of torch.nn and of speechseq.
    """
    own, kind = vars(module), type(module)
    return (
        (kind in kinds if kinds else kind.__module__.startswith(_HOMES))
        and not any(own[name] for name in _HOOKS)
        and "forward" not in own
        and own.get("_compiled_call_impl") is None
        and all(x is None or type(x) in (nn.Parameter, Tensor) for x in own["_parameters"].values())
        and not any(getattr(global_hooks, "_global" + name) for name in _HOOKS)
    )


def all_plain(module: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Return True if calls of a module and of all its submodules run nothing but their `forward`.

    They then have no hooks, no parametrization, no replaced `forward` and no quantised or adapted
    layers, so a fast path may read the parameters instead of calling the modules.

    Args:
        module: the module to check.
        kinds: the classes allowed; by default every class of torch.nn and of speechseq.
    """
    return all(is_plain(part, *kinds) for part in module.modules())


def is_plain_conv(conv: nn.Module) -> bool:
    """Return True for an nn.Conv1d without padding, stride, dilation, groups, hooks or adapters.

    Args:
        conv: the module to check.
    """
    return (
        is_plain(conv, nn.Conv1d)
        and isinstance(conv, nn.Conv1d)
        and (conv.stride, conv.padding, conv.dilation, conv.groups) == ((1,), (0,), (1,), 1)
    )


def is_plain_rnn(layer: nn.Module) -> bool:
    """Return True for an nn.LSTM or nn.GRU with one layer, one direction, biases, and no hooks.

    Args:
        layer: the module to check.
    """
    return (
        is_plain(layer, nn.LSTM, nn.GRU)
        and isinstance(layer, nn.RNNBase)
        and (layer.num_layers, layer.bidirectional, layer.proj_size) == (1, False, 0)
        and layer.bias
    )


def renew(module: nn.Module) -> None:
    """Recompute a module's weights that pruning, weight norm or spectral norm compute at each call.

    This is needed if parameters are used before the module is called: without it, they are computed
    from the parameters before the last update, and their autograd graph has been freed.

    Args:
        module: module whose parameters are about to be read.
    """
    for hook in list(module._forward_pre_hooks.values()):
        if isinstance(hook, _REMAKING):
            hook(module, ())
