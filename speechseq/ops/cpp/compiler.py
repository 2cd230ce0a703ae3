"""C++ compiler of the machine, and compilation of sources to shared libraries."""

import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import warnings
from pathlib import Path

from speechseq.ops.cpp.process_group import run_in_own_group

_FLAGS = (
    *("-std=c++17", "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC"),
    *("-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wno-psabi"),
)


def compiler() -> tuple[str, ...] | None:
    """Return the command of the C++ compiler, or None if there is none.

    The environment variable CXX is used if it is set; it may have several words, such as `ccache
    g++`. A CXX that cannot be run is reported once, as a warning.
    """
    setting = os.environ.get("CXX", "").strip()
    if setting:
        return _named(setting)
    return next(((found,) for name in ("c++", "g++") if (found := shutil.which(name))), None)


@functools.cache
def _named(setting: str) -> tuple[str, ...] | None:
    if shutil.which(setting):  # a path with spaces in it
        return (setting,)
    try:
        command = tuple(shlex.split(setting))
    except ValueError:  # an unbalanced quotation mark
        command = ()
    if command and shutil.which(command[0]):
        return command
    warnings.warn(
        f"CXX names no compiler that can be run: {setting!r}. The kernels are not compiled, torch "
        "operations do their work, slower. Unset CXX to take the machine's own compiler, or set "
        "SPEECHSEQ_NATIVE=0 to silence this.",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


def compile_library(source: Path, command: tuple[str, ...], target: Path) -> None:
    """Compile a C++ source file to a shared library, in at most 300 s.

    Args:
        source: the .cpp file.
        command: the compiler's command, as `compiler` returns it.
        target: file of the library, written.

    Raises:
        subprocess.SubprocessError: the source does not compile; `stderr` has the reason.
        OSError: the compiler cannot be run.
    """
    line = [*command, *_FLAGS, str(source), "-o", str(target)]
    run_in_own_group(line, timeout=300)


def digest(source: Path, command: tuple[str, ...]) -> str:
    """Return a digest of a C++ source, the headers in its folder, the compiler and the processor.

    A library compiled under the same digest can be used again.

    Args:
        source: the .cpp file.
        command: the compiler's command, as `compiler` returns it.

    Returns:
        20 hexadecimal digits.

    Raises:
        subprocess.SubprocessError, OSError: the compiler does not print its version.
    """
    total = hashlib.sha256(" ".join((*_FLAGS, *command)).encode())
    for path in (source, *sorted(source.parent.glob("*.h"))):
        total.update(path.read_bytes())
    total.update(_version(command) + _processor().encode())
    return total.hexdigest()[:20]


@functools.cache
def _version(command: tuple[str, ...]) -> bytes:
    line = [*command, "--version"]
    return subprocess.run(line, check=True, capture_output=True, timeout=60).stdout


def _processor() -> str:
    """Features of the processor, which -march=native depends on."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    flags = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    return "\n".join([platform.machine(), *sorted(set(flags))])
