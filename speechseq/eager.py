"""Decides whether a custom kernel or autograd Function may process the tensors of a call.

Every fast path checks this. If the answer is no, plain torch operations run, which tracers,
compilers, exporters, function transforms and tensor subclasses support.
"""

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext

_PLAIN = (Tensor, torch.nn.Parameter)


def is_eager() -> bool:
    """Return True if torch operations run at once on real values, as C++ kernels need.

    At most reverse-mode autograd is active. False under `torch.jit.trace`, `torch.compile`,
    `torch.export`, `torch.onnx.export`, the transforms of `torch.func`, forward-mode
    differentiation, and modes that intercept operations.
    """
    if torch.compiler.is_compiling():  # first: Dynamo then leaves the rest out of its graph
        return False
    return not (
        torch._C._is_tracing()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
        or forward_ad._current_level >= 0
        or (torch._C._len_torch_function_stack() and not _only_default_device())
    )


def has_memory(*tensors: Tensor | None) -> bool:
    """Return True if a C++ kernel may read the memory of the tensors: plain, dense ones.

    Each must be exactly a Tensor or a Parameter; None is accepted. False unless `is_eager()`, and
    for subclasses (fake, functional, quantised, distributed tensors), sparse layouts, and views
    with a pending negation.
    """
    return is_eager() and all(
        x is None or (type(x) in _PLAIN and x.layout is torch.strided and not x.is_neg())
        for x in tensors
    )


def _only_default_device() -> bool:
    """Return True if the one mode is `torch.set_default_device("cpu")` or its context manager."""
    modes = _get_current_function_mode_stack()
    return all(type(mode) is DeviceContext and mode.device.type == "cpu" for mode in modes)
