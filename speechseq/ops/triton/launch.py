"""The check that Triton's kernels launch: it needs a GPU, Linux and a C compiler."""

import functools
import importlib.util
import warnings

import torch

from speechseq.ops.cpp.library import wanted

KIND = "cuda"  # of the devices that they are for


def launches(device: torch.device) -> bool:
    """True if kernels are wanted and a small one runs on the device; a failure warns."""
    there = importlib.util.find_spec("triton") is not None
    return wanted() and device.type == KIND and there and _tried(device)


@functools.cache
def _tried(device: torch.device) -> bool:
    from speechseq.ops.triton.decoder_step import linear

    one, made = torch.ones(16, device=device), torch.zeros(16, device=device)
    sizes = {"X": 16, "Y": 0, "OUTPUTS": 1, "ROWS": 1, "OUTS": 1, "CHUNK": 16}
    switches = dict.fromkeys(("BIASED", "RELU", "KEPT", "MATRIX"), False)
    try:
        with torch.cuda.device_of(one):
            linear[1, 1](one, 16, one, 16, one, one, one, 0, made, 1, 1, **sizes, **switches)
        return bool(made[0] == 16)
    except Exception as error:  # Triton's own, the compiler's, or the driver's
        warnings.warn(
            f"Triton does not run on {device}; torch's operations do its work, slower. "
            f"SPEECHSEQ_NATIVE=0 silences this. It said: {str(error)[:2000]}",
            RuntimeWarning,
            stacklevel=2,
        )
        return False


def cdiv(count: int, each: int) -> int:
    """Ceiling of count / each: how many programs it takes that do so many each."""
    return -(-count // each)


def next_power_of_2(least: int) -> int:
    """The smallest power of 2 that is not below `least`: sizes of Triton's blocks."""
    return 1 << (least - 1).bit_length()
