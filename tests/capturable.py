"""What a CUDA graph can hold, watched without a GPU: nothing waits, nothing lies on the host.

On the device "meta" both passes can run, on a fake "cuda" the forward pass: tensors have shapes and
no numbers there, so that whatever needs one fails.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# the host would have to know numbers that the device computes, or a number is drawn
BANNED = (
    torch.Tag.data_dependent_output,
    torch.Tag.dynamic_output_shape,
    torch.Tag.nondeterministic_seeded,
)


class Captured(TorchDispatchMode):
    """Raises at the first operation that no graph can record, or no replay would do anew.

    Args:
        device: the type of the device where every tensor has to lie.
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device
        self.launches = 0  # operations that are no mere views

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        banned = [tag for tag in BANNED if tag in func.tags]
        assert not banned, f"{func} is {banned}"
        if func is torch.ops.aten.index.Tensor:
            chosen = [x for x in args[1] if x is not None]
            assert all(x.dtype != torch.bool for x in chosen), "an index by a mask waits"
        output = func(*args, **kwargs)
        for x in tree_leaves((args, kwargs, output)):
            if isinstance(x, Tensor):
                assert x.device.type == self.device, f"{func} meets a tensor on the host"
        self.launches += not func.is_view
        return output
