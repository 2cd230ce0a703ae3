"""Checks the size of a module on the meta device, before memory is allocated for it."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from speechseq.errors import ConfigError

M = TypeVar("M", bound=nn.Module)
MOST_PARAMETERS = 2**30  # 4 GiB in float32
MOST_PARTS = 20_000  # modules and parameters


def shapeless_build(build: Callable[[], nn.Module], parts: int = MOST_PARTS) -> dict[str, Tensor]:
    """Build a module on the meta device, and return its state dict: shapes without memory.

    Args:
        build: constructor of the module, without arguments.
        parts: maximum number of modules and parameters, after which the build is stopped.

    Returns:
        Tensors on the meta device, with shapes and no values, by name.

    Raises:
        ValueError: the module has more parts.
    """
    with _BoundedParts(parts), torch.device("meta"), _NoValues():
        return build().state_dict()


def with_values(build: Callable[[], M]) -> M:
    """Build a part of a module on the CPU, also inside of a build on the meta device.

    `built` builds a module twice: first on torch's meta device, where tensors have shapes but no
    values, to check the size. A constructor that reads values of tensors fails there; `with_values`
    builds such a part on the CPU both times. The part takes memory, so its config must bound its
    size.

    Args:
        build: constructor of the part, without arguments.

    Returns:
        The part, on the CPU.
    """
    if torch.get_default_device().type != "meta":
        return build()
    with torch.device("cpu"):
        return build()


def built(build: Callable[[], M]) -> M:
    """Build a module, after checking its size on the meta device, which takes no memory.

    Args:
        build: constructor of the module, without arguments; it is called twice.

    Returns:
        The module.

    Raises:
        ConfigError: the module has more than MOST_PARTS (20,000) modules and parameters, or more
            than MOST_PARAMETERS (2³⁰) parameter values.
    """
    if torch.get_default_device().type == "meta":  # the caller is checking the size itself
        return build()
    try:
        shapes = shapeless_build(build)
    except (ValueError, RuntimeError, OverflowError) as error:
        raise ConfigError(f"model: cannot be built: {str(error).splitlines()[0]}", _CURE) from None
    parameters = sum(tensor.numel() for tensor in shapes.values())
    if parameters > MOST_PARAMETERS:
        problem = f"model: {parameters:,} parameters, more than {MOST_PARAMETERS:,}"
        raise ConfigError(problem, _CURE)
    return build()


_CURE = "choose fewer layers, or layers of fewer units"


class _NoValues(TorchFunctionMode):
    """Skip functions that fill tensors: on the meta device `normal_` would import torch._dynamo."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func.__name__ in _FILLS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


_FILLS = {"normal_", "trunc_normal_", "uniform_"}


class _BoundedParts:
    """Stop a build that registers too many modules and parameters."""

    def __init__(self, most: int) -> None:
        self.most = self.left = most

    def _count(self, *_: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"it has more than {self.most:,} parts")

    def __enter__(self) -> None:
        register = nn.modules.module
        self.handles = [
            register.register_module_parameter_registration_hook(self._count),
            register.register_module_module_registration_hook(self._count),
        ]

    def __exit__(self, *_: Any) -> None:
        for handle in self.handles:
            handle.remove()
