"""Device of a run."""

import torch

from speechseq.errors import MachineError


def usable_device(name: torch.device | str) -> torch.device:
    """Return a device by its name, such as "cuda", after allocating a tensor on it as a test.

    Raises:
        MachineError: there is no such device, or it cannot be used.
    """
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        problem = f"device {name!s} cannot be used: {str(error).splitlines()[0]}"
        raise MachineError(problem, 'use "cpu": --device cpu') from None
