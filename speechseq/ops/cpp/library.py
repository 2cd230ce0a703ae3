"""Kernels in C++, compiled on first use where a compiler stands ready, and never needed.

A source beside this room is one library: plain C functions on pointers, so that it compiles in
seconds, without torch's headers, and fits any torch. Each caller keeps a path of torch operations
for machines without a compiler; `SPEECHSEQ_NATIVE=0` chooses it everywhere.
"""

import _ctypes
import ctypes
import functools
import os
import subprocess
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speechseq.ops.cpp.cache import kept
from speechseq.ops.cpp.compiler import compile_library, compiler, digest
from speechseq.ops.cpp.signature import KernelArgumentError, Structs
from speechseq.ops.cpp.signatures import SIGNATURES, STRUCTS, prepare

_HERE = Path(__file__).parents[1] / "csrc"


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
    """The library from the cache, compiled if there is none that its callers can call.

    Raises:
        OSError: the library cannot be kept or loaded, or is not what its callers expect.
        subprocess.SubprocessError: it does not compile.
    """
    source = _HERE / f"{name}.cpp"
    file = f"{name}-{digest(source, command)}.so"

    def make(target: Path) -> None:
        compile_library(source, command, target)

    kernels = ctypes.CDLL(str(kept(file, make)))
    if name in SIGNATURES and prepare(name, kernels):
        _ctypes.dlclose(kernels._handle)  # or the same path would give the same library again
        kernels = ctypes.CDLL(str(kept(file, make, anew=True)))
        if problem := prepare(name, kernels):
            raise OSError(f"its source and its callers do not belong together: {problem}")
    return kernels


def call(name: str, function: str, *arguments: Tensor | Structs | int | float | None) -> None:
    """Run a function of a library that is there, on the threads that torch has.

    Its signature says what each argument has to be. Tensors and structs go as addresses, None as
    the null pointer, int as int64_t, float as float; the number of threads goes last.

    Raises:
        KernelArgumentError: an argument that the kernel would read or write wrongly.
    """
    kernels = library(name)
    assert kernels is not None, "ask `library` first"
    kernel = getattr(kernels, function)
    if name in SIGNATURES:
        taken, _ = SIGNATURES[name][function].check(f"{name}.{function}", arguments, kernels)
        kernel(*taken, torch.get_num_threads())
    else:  # a test's own source
        kernel(*map(_unchecked, arguments), ctypes.c_int64(torch.get_num_threads()))


def pack(name: str, struct: str, *rows: Sequence[Tensor | Structs | int | None]) -> Structs:
    """Structs of a library that is there, one for each row of values; they keep their tensors.

    Raises:
        KernelArgumentError: a value that the kernel would read or write wrongly.
    """
    kernels = library(name)
    assert kernels is not None, "ask `library` first"
    return STRUCTS[name][struct].pack(struct, rows, kernels)


def _unchecked(value: Any) -> ctypes.c_void_p | ctypes.c_int64 | ctypes.c_float:
    if isinstance(value, Tensor):
        if not value.is_contiguous() or value.device.type != "cpu":
            raise KernelArgumentError("a kernel reads contiguous tensors of the CPU alone")
        return ctypes.c_void_p(value.data_ptr())
    if value is None:
        return ctypes.c_void_p(None)
    return ctypes.c_float(value) if isinstance(value, float) else ctypes.c_int64(value)
