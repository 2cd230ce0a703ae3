"""Check that Triton kernels launch, which needs a GPU, Linux and a C compiler."""

import functools
import importlib.util
import warnings

import torch

from speechseq.ops.cpp.library import wanted

KIND = "cuda"  # device type that the kernels are for


def supported(device: torch.device) -> bool:
    """Return True if a small Triton kernel runs on the device; a failure to run it gives a warning.

    Args:
        device: the device to check; the result is False unless it is a CUDA device.
    """
    installed = importlib.util.find_spec("triton") is not None
    return wanted() and device.type == KIND and installed and _launches(device)


@functools.cache
def _launches(device: torch.device) -> bool:
    from speechseq.ops.triton.decoder_step import linear

    ones, output = torch.ones(16, device=device), torch.zeros(16, device=device)
    sizes = {"X": 16, "Y": 0, "OUTPUTS": 1, "ROWS": 1, "OUTS": 1, "CHUNK": 16}
    switches = dict.fromkeys(("BIASED", "RELU", "KEPT", "MATRIX"), False)
    try:
        with torch.cuda.device_of(ones):
            linear[1, 1](
                *(ones, 16, ones, 16, ones, ones, ones, 0, output, 1, 1), **sizes, **switches
            )
        return bool(output[0] == 16)
    except Exception as error:  # Triton's own, the compiler's, or the driver's
        warnings.warn(
            f"Triton does not run on {device}; torch's operations do its work, slower. "
            f"SPEECHSEQ_NATIVE=0 silences this. It said: {str(error)[:2000]}",
            RuntimeWarning,
            stacklevel=2,
        )
        return False


def cdiv(count: int, each: int) -> int:
    """Return count / each, rounded up: the number of Triton programs for `count` items.

    Args:
        count: number of items.
        each: number of items that one program computes.
    """
    return -(-count // each)


def next_power_of_2(least: int) -> int:
    """Return the smallest power of 2 that is at least `least`, for block sizes of Triton.

    Args:
        least: a positive number.
    """
    return 1 << (least - 1).bit_length()
