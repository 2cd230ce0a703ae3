"""Kernels in C++, compiled on first use where a compiler stands ready, and never needed.

A source beside this room is one library: plain C functions on pointers, so that it compiles in
seconds, without torch's headers, and fits any torch. Each caller keeps a path of torch operations
for machines without a compiler; `SPEECHSEQ_NATIVE=0` chooses it everywhere.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor

_HERE = Path(__file__).parent
_FLAGS = (
    *("-std=c++17", "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC"),
    *("-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wno-psabi"),
)


def wanted() -> bool:
    """Whether kernels are: `SPEECHSEQ_NATIVE=0` chooses torch's operations."""
    return os.environ.get("SPEECHSEQ_NATIVE", "1") != "0"


@functools.cache
def library(name: str) -> ctypes.CDLL | None:
    """The library made of `name`.cpp, or None where it is not to be had; a failure warns once."""
    if not wanted():
        return None
    compiler = _compiler()
    if compiler is None:
        return None
    try:
        return ctypes.CDLL(str(_compiled(name, compiler)))
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        warnings.warn(
            f"the kernels of {name}.cpp did not compile; torch operations do their work, slower. "
            f"SPEECHSEQ_NATIVE=0 silences this. {compiler} said: {said[:2000]}",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


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


def _compiler() -> str | None:
    """The C++ compiler of CXX, or the machine's own."""
    wanted = os.environ.get("CXX")
    return next(filter(None, map(shutil.which, (wanted,) if wanted else ("c++", "g++"))), None)


def _compiled(name: str, compiler: str) -> Path:
    """The library's file in the user's cache, made if no equal one stands there."""
    folder = _cache()
    path = folder / f"{name}-{_digest(name, compiler)}.so"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as made:
            own = Path(made) / path.name
            command = [compiler, *_FLAGS, str(_HERE / f"{name}.cpp"), "-o", str(own)]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
            own.replace(path)  # at once: another process may be doing the same
    return path


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "speechseq" / "native"


def _digest(name: str, compiler: str) -> str:
    """Changes with the sources, the compiler and the processor."""
    total = hashlib.sha256(" ".join((*_FLAGS, compiler)).encode())
    for source in (_HERE / f"{name}.cpp", *sorted(_HERE.glob("*.h"))):
        total.update(source.read_bytes())
    version = subprocess.run([compiler, "--version"], check=True, capture_output=True, timeout=60)
    total.update(version.stdout + _processor().encode())
    return total.hexdigest()[:20]


def _processor() -> str:
    """What -march=native goes by."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    flags = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    return "\n".join([platform.machine(), *sorted(set(flags))])
