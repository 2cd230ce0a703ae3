"""Contenders in processes of their own, asked for one timed step each, in turn.

Machines are noisy: what is timed side by side in one run can be compared, and peak memory is each
contender's own.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Measured(NamedTuple):
    """Seconds of each round and peak memory in GB, by contender."""

    seconds: dict[str, list[float]]
    gigabytes: dict[str, float]


def compare(command: Sequence[str], contenders: Sequence[str], rounds: int) -> Measured:
    """Run `command --worker NAME` for each contender and ask each for a step a round."""
    workers = {
        name: subprocess.Popen(
            [*command, "--worker", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in contenders
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    gigabytes: dict[str, float] = {}
    for turn in range(rounds + 1):
        for name, worker in workers.items():
            answer = _ask(worker)
            gigabytes[name] = answer["gigabytes"]
            if turn:  # the first step of each warms up
                seconds[name].append(answer["seconds"])
    for worker in workers.values():
        worker.communicate("\n")
    return Measured(seconds, gigabytes)


def serve(step: Callable[[], object]) -> None:
    """Answer each line on standard input with one timed step."""
    while sys.stdin.readline().strip():
        start = time.perf_counter()
        step()
        taken = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        print(json.dumps({"seconds": taken, "gigabytes": peak}), flush=True)


def report(title: str, ours: str, theirs: str, measured: Measured) -> None:
    """The table, then one JSON line; quote the ratio of the medians."""
    median = {name: statistics.median(values) for name, values in measured.seconds.items()}
    print(title)
    for name, values in measured.seconds.items():
        print(
            f"  {name:11s} median {median[name]:6.2f} s   range {min(values):.2f}–"
            f"{max(values):.2f} s   peak {measured.gigabytes[name]:.2f} GB"
        )
    speed = median[theirs] / median[ours]
    memory = measured.gigabytes[ours] / measured.gigabytes[theirs]
    print(f"  speed {speed:.2f} x, memory {memory:.2f} x")
    print(json.dumps({**measured._asdict(), "speed": speed}))


def _ask(worker: subprocess.Popen[str]) -> dict[str, float]:
    if worker.stdin is None or worker.stdout is None:
        raise RuntimeError("the worker has no pipes")
    worker.stdin.write("step\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())
