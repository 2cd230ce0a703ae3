"""Timing of contenders in separate processes, one step at a time, in turn.

Machines are noisy: only times measured in turn, in one run, can be compared. Separate processes
give the peak memory of each contender.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, NamedTuple

import torch


class Command(NamedTuple):
    """Command line and environment of a contender's process, which calls `serve`."""

    words: Sequence[str]
    environment: Mapping[str, str]


IDLE, LONG = 2.0, 45.0  # seconds


class Timing(NamedTuple):
    """Seconds of each round and peak memory in GB, or the failure."""

    seconds: list[float]
    gigabytes: float
    failure: str = ""


class _Worker:
    """Process of a contender, with its standard error kept for failures."""

    def __init__(self, command: Command) -> None:
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
        self.process = subprocess.Popen(
            command.words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, **command.environment},
        )
        self.seconds: list[float] = []
        self.gigabytes, self.failure = 0.0, ""

    def step(self, keep: bool) -> float:
        """Run one step and return its seconds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write("step\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())
        except (OSError, ValueError):
            self.failure = self._last_words()
            return 0.0
        self.gigabytes = answer["gigabytes"]
        if keep:
            self.seconds.append(answer["seconds"])
        return answer["seconds"]

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def _last_words(self) -> str:
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"ended with code {self.process.returncode}"


def compare(
    commands: Mapping[str, Command],
    *,
    rounds: int,
    seconds: float,
    most: int = 30,
    slow: float = 60.0,
    limit: float = float("inf"),
) -> dict[str, Timing]:
    """Time one step of each contender per round, after a round to warm up.

    Args:
        commands: commands by the contenders' names.
        rounds: minimum number of rounds; further ones until `seconds` are spent, at most `most`.
        slow: a contender whose step takes longer (in seconds) is measured only once.
        limit: seconds after which no new round begins, once all contenders were measured.
    """
    workers = {name: _Worker(command) for name, command in commands.items()}
    try:
        spent, turn = 0.0, 0
        while turn <= rounds or (spent < seconds and turn <= most):
            for worker in workers.values():
                patient = not worker.seconds or worker.seconds[-1] < slow
                if not worker.failure and patient:
                    spent += worker.step(keep=turn > 0)
            turn += 1
            if all(worker.failure for worker in workers.values()) or (turn > 1 and spent > limit):
                break
    finally:
        for worker in workers.values():
            worker.end()
    return {name: Timing(w.seconds, w.gigabytes, w.failure) for name, w in workers.items()}


def serve(step: Callable[[], object], device: torch.device) -> None:
    """Answer each line on standard input with one timed step and the peak memory so far.

    Before a timed step, another one warms up, because caches and memory were given to the other
    contenders meanwhile. Steps longer than LONG need no warm-up.
    """
    timed = _timed_by_events if device.type == "cuda" else _timed
    taken, ended = 0.0, time.perf_counter()
    while sys.stdin.readline().strip():
        if time.perf_counter() - ended > IDLE and taken < LONG:
            step()
        taken = timed(step)
        ended = time.perf_counter()
        if device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(device) / 1024**3
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        print(json.dumps({"seconds": taken, "gigabytes": peak}), flush=True)


def _timed(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _timed_by_events(step: Callable[[], object]) -> float:
    begin = torch.cuda.Event(enable_timing=True)
    end = torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    begin.record()
    step()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1000
