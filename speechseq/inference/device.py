"""Check of a device by name, before a model is loaded onto it."""

import torch

from speechseq.errors import ConfigError, MachineError


def checked_device(name: str | torch.device) -> torch.device:
    """Return the device with this name, such as "cpu" or "cuda:0", if the machine has it.

    Raises:
        ConfigError: no device has this name.
        MachineError: this machine has no such device.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(
            f"device: unknown {name!r}", "--device takes cpu, cuda, cuda:0, mps, …"
        ) from None
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise MachineError(
            f"device {device}: not usable here: {reason}", "use --device cpu"
        ) from None
    return device
