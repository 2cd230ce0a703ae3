"""Mean losses and speed over the updates between two lines of the log."""

import resource
import time
from typing import Any

import torch
from torch import Tensor

from speechseq.training.train_step import Report


class Meter:
    """Accumulates losses and speed of updates on the device, for the log.

    Call `add` after each update and `read` whenever a line of the log is due. Only `read` waits for
    the device.

    Args:
        device: device of the model, whose peak memory is reported.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._reset()

    def add(self, report: Report, seconds: float) -> None:
        """Add one update: its report, and its duration in seconds, data loading included."""
        self._seconds += seconds
        self._frames += report.weight
        if not report.applied:
            return  # a loss that is not finite would spoil the mean
        self._weight += report.weight
        self._norm = report.gradient_norm
        for name, value in report.terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value * report.weight

    @property
    def is_empty(self) -> bool:
        """Return True if no update was added since the last `read`."""
        return self._frames == 0

    def read(self) -> dict[str, Any]:
        """Return the values since the last `read`, as a dict, and start again.

        The keys are "loss" (dict of means by term, weighted by the batches' valid frames or
        tokens), "gradient_norm" (of the last update, before clipping), "frames_per_second" and
        "memory_mb" (peak in MB of the device, or of this process on a CPU).
        """
        values = {
            "loss": {name: float(total) / self._weight for name, total in self._sums.items()},
            "gradient_norm": self._norm,
            "frames_per_second": self._frames / max(self._seconds, 1e-9),
            "memory_mb": self._memory(),
        }
        self._reset()
        return values

    def _reset(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._weight = self._frames = 0
        self._seconds = 0.0
        self._norm = float("nan")

    def _memory(self) -> float:
        """Peak memory of the device, or of this process."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


class Stopwatch:
    """Measures the seconds since its creation (`total`) and since the last call of `lap`."""

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()

    def lap(self) -> float:
        """Return the seconds since the last `lap`, or since the creation."""
        before, self._last = self._last, time.monotonic()
        return self._last - before

    def total(self) -> float:
        """Return the seconds since the creation."""
        return time.monotonic() - self._start
