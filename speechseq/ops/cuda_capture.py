"""Capture of a function's launches as a CUDA graph, or its emulation by calls [experimental]."""

import contextlib
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Series

import torch
from torch import Tensor

Made = Series[Tensor | None]
_ROUNDS = 3  # of warm-up, in which libraries choose kernels and allocate memory


class Recording:
    """Captured function without arguments, which reads and writes the same tensors at each replay.

    Args:
        made: the output tensors, which every replay overwrites.
        again: launches the function again.
    """

    def __init__(self, made: Made, again: Callable[[], None]) -> None:
        self.made, self.again = made, again

    def replay(self) -> Made:
        """Replay the function on the current contents of its inputs; return its output tensors."""
        self.again()
        return self.made


class Recorder:
    """Captures functions on a CUDA device; if `rehearsed`, replays call them, on any device."""

    def __init__(self, device: torch.device, rehearsed: bool) -> None:
        self.device, self.rehearsed = device, rehearsed
        self.pool = None if rehearsed else torch.cuda.graph_pool_handle()

    def warm(self, function: Callable[[], None]) -> None:
        """Call a function until its libraries have chosen kernels and allocated memory."""
        if self.rehearsed:
            return function()
        here, beside = torch.cuda.current_stream(self.device), torch.cuda.Stream(self.device)
        beside.wait_stream(here)
        with torch.cuda.stream(beside):
            for _ in range(_ROUNDS):
                function()
        return here.wait_stream(beside)

    def record(self, function: Callable[[], Made]) -> Recording:
        """Capture a function together with its output tensors.

        Raises:
            RuntimeError: the function cannot be captured, as when it synchronises.
        """
        if self.rehearsed:
            made = function()
            return Recording(made, lambda: _over(made, function()))
        graph = torch.cuda.CUDAGraph()
        # other threads (a loader that pins memory, NCCL's watchdog) may use CUDA meanwhile
        recorded = torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local")
        with _unharmed(self.device), recorded:
            made = function()
        return Recording(made, graph.replay)


def _over(kept: Made, made: Made) -> None:
    """Copy new outputs into the tensors of the first ones, as a graph does."""
    with torch.no_grad():
        for old, new in zip(kept, made, strict=True):
            if old is not None and new is not None:
                old.copy_(new)


@contextlib.contextmanager
def _unharmed(device: torch.device) -> Iterator[None]:
    """A context that restores stream and generator if a capture fails, which torch does not do."""
    index = torch.cuda.current_device() if device.index is None else device.index
    generator = torch.cuda.default_generators[index]
    before = generator.clone_state()
    with torch.cuda.stream(torch.cuda.current_stream(device)):
        try:
            yield
        except RuntimeError:
            generator.graphsafe_set_state(before)
            raise
