"""Kernels in C++, compiled on first use where a compiler stands ready, and never needed.

A source beside this room is one library: plain C functions on pointers, so that it compiles in
seconds, without torch's headers, and fits any torch. Each caller keeps a path of torch operations
for machines without a compiler; `SPEECHSEQ_NATIVE=0` chooses it everywhere.
"""

import ctypes
import functools
import os
import subprocess
import warnings
from pathlib import Path

import torch
from torch import Tensor

from speechseq.native.cache import kept
from speechseq.native.compiler import compile_library, compiler, digest

_HERE = Path(__file__).parent


def wanted() -> bool:
    """Whether kernels are: `SPEECHSEQ_NATIVE=0` chooses torch's operations."""
    return os.environ.get("SPEECHSEQ_NATIVE", "1") != "0"


@functools.cache
def library(name: str) -> ctypes.CDLL | None:
    """The library made of `name`.cpp, or None where it is not to be had; a failure warns once."""
    command = compiler() if wanted() else None
    if command is None:
        return None
    try:
        return _loaded(name, command)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        failed = (
            "did not compile" if isinstance(error, subprocess.SubprocessError) else "do not load"
        )
        warnings.warn(
            f"the kernels of {name}.cpp {failed}; torch operations do their work, slower. "
            f"SPEECHSEQ_NATIVE=0 silences this. {' '.join(command)} said: {said[:2000]}",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


def _loaded(name: str, command: tuple[str, ...]) -> ctypes.CDLL:
    """The library from the cache, compiled if there is none.

    Raises:
        OSError: the library cannot be kept or loaded.
        subprocess.SubprocessError: it does not compile.
    """
    source = _HERE / f"{name}.cpp"
    file = f"{name}-{digest(source, command)}.so"

    def make(target: Path) -> None:
        compile_library(source, command, target)

    return ctypes.CDLL(str(kept(file, make)))


def call(name: str, function: str, *arguments: Tensor | int | float | None) -> None:
    """Run a function of a library that is there, on the threads that torch has.

    Tensors go as the address of their first element and have to be contiguous and on the CPU,
    None as the null pointer, int as int64_t, float as float; the number of threads goes last.

    Raises:
        ValueError: a tensor that is not contiguous, or not on the CPU.
    """
    kernels = library(name)
    assert kernels is not None, "ask `library` first"
    getattr(kernels, function)(*map(_argument, arguments), ctypes.c_int64(torch.get_num_threads()))


def _argument(
    value: Tensor | int | float | None,
) -> ctypes.c_void_p | ctypes.c_int64 | ctypes.c_float:
    if isinstance(value, Tensor):
        if not value.is_contiguous() or value.device.type != "cpu":
            raise ValueError("a kernel reads contiguous tensors of the CPU alone")
        return ctypes.c_void_p(value.data_ptr())
    if value is None:
        return ctypes.c_void_p(None)
    return ctypes.c_float(value) if isinstance(value, float) else ctypes.c_int64(value)
