"""Commands whose processes all end when this one is told to end."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor


def run_in_own_group(command: Sequence[str], *, timeout: int) -> None:
    """Run a command in a process group of its own, which an exception here ends as a whole.

    Compilers start other processes, which would live on as orphans if only the first were killed.
    Ctrl-C on the terminal does not reach the group: whether the work goes on is decided here.

    Args:
        timeout: seconds.

    Raises:
        subprocess.CalledProcessError: it failed; `stderr` says why.
        subprocess.TimeoutExpired: it took too long.
        OSError: it cannot be started.
    """
    with ThreadPoolExecutor(1) as starter:  # a signal's handler raises in the main thread alone
        starting = starter.submit(_start, command)
        try:
            process = starting.result()
            out, err = process.communicate(timeout=timeout)
        except BaseException:  # a signal's SystemExit, too
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
