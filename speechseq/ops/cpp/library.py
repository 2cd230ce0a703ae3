"""C++ kernels, compiled on first use if there is a compiler; every kernel is optional.

Each source in csrc/ is one library of plain C functions on pointers, so that it compiles in
seconds, without torch's headers, and works with any version of torch. Each caller has a fallback of
torch operations for machines without a compiler; `SPEECHSEQ_NATIVE=0` chooses it everywhere.
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
    """Return False if the environment has `SPEECHSEQ_NATIVE=0`, which disables all kernels."""
    return os.environ.get("SPEECHSEQ_NATIVE", "1") != "0"


@functools.cache
def library(name: str) -> ctypes.CDLL | None:
    """Load the library compiled from csrc/NAME.cpp; None if it is not available.

    It is compiled on first use. A failure to compile or load it is reported once, as a warning.

    Args:
        name: name of the source file, without ".cpp".
    """
    command = compiler() if wanted() else None
    if command is None:
        return None
    try:
        return _loaded(name, command)
    except (OSError, subprocess.SubprocessError) as error:
        message = getattr(error, "stderr", "") or str(error)
        failed = (
            "did not compile" if isinstance(error, subprocess.SubprocessError) else "do not load"
        )
        warnings.warn(
            f"the kernels of {name}.cpp {failed}; torch operations do their work, slower. "
            f"SPEECHSEQ_NATIVE=0 silences this. {' '.join(command)} said: {message[:2000]}",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


def _loaded(name: str, command: tuple[str, ...]) -> ctypes.CDLL:
    """Load a library from the cache; compile it if there is none that matches its signatures.

    Raises:
        OSError: the library cannot be stored or loaded, or does not match its signatures.
        subprocess.SubprocessError: the source does not compile.
    """
    source = _HERE / f"{name}.cpp"
    file = f"{name}-{digest(source, command)}.so"

    def make(target: Path) -> None:
        compile_library(source, command, target)

    kernels = ctypes.CDLL(str(kept(file, make)))
    if name in SIGNATURES and prepare(name, kernels):
        _ctypes.dlclose(kernels._handle)  # otherwise the same path gives the same library again
        kernels = ctypes.CDLL(str(kept(file, make, anew=True)))
        if problem := prepare(name, kernels):
            raise OSError(f"its source and its callers do not belong together: {problem}")
    return kernels


def call(name: str, function: str, *arguments: Tensor | Structs | int | float | None) -> None:
    """Call a C++ kernel, with torch's number of threads as its last argument.

    Args:
        name: name of the library, which must be loaded (`library`).
        function: name of the kernel.
        arguments: one value for each parameter but the last, checked by the kernel's `Signature`.
            Tensors and structs are passed as addresses, None as the null pointer, int as int64_t,
            and float as float.

    Raises:
        KernelArgumentError: the kernel would read or write an argument wrongly.
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
    """Pack rows of values to an array of C++ structs, for an argument of a kernel.

    Args:
        name: name of a library that is available (`library` returns it).
        struct: name of the C++ struct.
        rows: one sequence for each struct, with the values of its fields in their order.

    Returns:
        The array, which holds references to the tensors, so that they stay in memory.

    Raises:
        KernelArgumentError: the kernel would read or write a value wrongly.
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
