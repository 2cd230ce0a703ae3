"""Wrong arguments of kernels are refused; none of them ends the process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from speechseq.ops.cpp import compiler

CALLS = int(os.environ.get("SPEECHSEQ_KERNEL_CALLS", "30"))


@pytest.mark.skipif(compiler.compiler() is None, reason="this machine has no C++ compiler")
def test_no_wrong_call_of_a_kernel_ends_the_process() -> None:
    """Random wrong calls of every kernel and struct, in a process of its own.

    30 of each; `SPEECHSEQ_KERNEL_CALLS=300` makes more. Each number has other arguments.
    """
    child = Path(__file__).with_name("kernel_calls.py")
    command = [sys.executable, str(child), str(CALLS), str(CALLS)]
    environment = {k: v for k, v in os.environ.items() if k != "SPEECHSEQ_NATIVE"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=CALLS + 250
    )
    assert done.returncode == 0, (done.stdout[-500:], done.stderr[-2000:])
    assert done.stdout.splitlines()[-1] == "survived"
