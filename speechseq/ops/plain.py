"""Decides whether a fast path may read a module's parameters instead of calling the module.

Calling is what runs hooks, adapters put around a layer, pruning, weight norm and other
parametrizations, and quantised or replaced layers. A fast path asks here, once a call; where the
answer is no, the plain path runs, which calls every module.
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
    """True if the module is exactly of one of these classes and calling it does nothing more.

    So it has no hooks (nor are there global ones), no parametrization, no `forward` of its own, and
    its parameters are plain tensors. Submodules are not looked at.

    Args:
        kinds: the classes; none for every class of torch.nn and of speechseq.
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
    """`is_plain` of the module and of all modules inside of it."""
    return all(is_plain(part, *kinds) for part in module.modules())


def is_plain_conv(conv: nn.Module) -> bool:
    """`is_plain` of a Conv1d without padding, stride, dilation or groups: what kernels compute."""
    return (
        is_plain(conv, nn.Conv1d)
        and isinstance(conv, nn.Conv1d)
        and (conv.stride, conv.padding, conv.dilation, conv.groups) == ((1,), (0,), (1,), 1)
    )


def is_plain_rnn(layer: nn.Module) -> bool:
    """`is_plain` of one layer of nn.LSTM or nn.GRU in one direction, with biases."""
    return (
        is_plain(layer, nn.LSTM, nn.GRU)
        and isinstance(layer, nn.RNNBase)
        and (layer.num_layers, layer.bidirectional, layer.proj_size) == (1, False, 0)
        and layer.bias
    )


def renew(module: nn.Module) -> None:
    """Compute the weights anew that pruning, weight norm or spectral norm make before each call.

    For a module whose parameters are used before it is called: they would be those of the last
    update, and their graph would be spent.
    """
    for hook in list(module._forward_pre_hooks.values()):
        if isinstance(hook, _REMAKING):
            hook(module, ())
