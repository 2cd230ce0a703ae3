"""Runs commands in a process group of their own, which ends together with this process."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor


def run_in_own_group(command: Sequence[str], *, timeout: int) -> None:
    """Run a command in a process group of its own; if this function raises, the group is killed.

    A compiler starts other processes, which would survive if only the compiler were killed. Ctrl-C
    on the terminal does not reach the group; the KeyboardInterrupt raised here ends it.

    Args:
        command: program and arguments.
        timeout: maximum duration in seconds.

    Raises:
        subprocess.CalledProcessError: the command failed; `stderr` has the reason.
        subprocess.TimeoutExpired: the command took too long.
        OSError: the command cannot be started.
    """
    with ThreadPoolExecutor(1) as starter:  # signal handlers raise only in the main thread
        starting = starter.submit(_start, command)
        try:
            process = starting.result()
            out, err = process.communicate(timeout=timeout)
        except BaseException:  # also the SystemExit of a signal
            if not starting.exception():
                with contextlib.suppress(ProcessLookupError), starting.result() as process:
                    os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, out, err)


def _start(command: Sequence[str]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, errors="replace", process_group=0
    )
