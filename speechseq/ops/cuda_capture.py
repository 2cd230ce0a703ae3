"""What a function launches on a GPU, recorded; elsewhere the function itself, by the same rules."""

import contextlib
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Series

import torch
from torch import Tensor

Made = Series[Tensor | None]
_ROUNDS = 3  # to warm up: libraries choose their kernels and take their memory


class Recording:
    """A function of no arguments, that reads and writes the same tensors whenever it is replayed.

    Args:
        made: what it made when it was recorded, and makes again in the same place.
        again: launches it again.
    """

    def __init__(self, made: Made, again: Callable[[], None]) -> None:
        self.made, self.again = made, again

    def replay(self) -> Made:
        """What it makes of what stands in its tensors now."""
        self.again()
        return self.made


class Recorder:
    """Records on a CUDA device; `rehearsed`, it calls the function again at each replay, on any."""

    def __init__(self, device: torch.device, rehearsed: bool) -> None:
        self.device, self.rehearsed = device, rehearsed
        self.pool = None if rehearsed else torch.cuda.graph_pool_handle()

    def warm(self, function: Callable[[], None]) -> None:
        """Call it until it allocates and chooses nothing new."""
        if self.rehearsed:
            return function()
        here, beside = torch.cuda.current_stream(self.device), torch.cuda.Stream(self.device)
        beside.wait_stream(here)
        with torch.cuda.stream(beside):
            for _ in range(_ROUNDS):
                function()
        return here.wait_stream(beside)

    def record(self, function: Callable[[], Made]) -> Recording:
        """The function as it stands, with what it made of what its tensors hold.

        Raises:
            RuntimeError: it did what cannot be recorded, such as to wait for the device.
        """
        if self.rehearsed:
            made = function()
            return Recording(made, lambda: _over(made, function()))
        graph = torch.cuda.CUDAGraph()
        # other threads (a loader that pins memory, NCCL's watchdog) may go on with their work
        recorded = torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local")
        with _unharmed(self.device), recorded:
            made = function()
        return Recording(made, graph.replay)


def _over(kept: Made, made: Made) -> None:
    """Put what was made now where it was made first, as a graph does."""
    with torch.no_grad():
        for old, new in zip(kept, made, strict=True):
            if old is not None and new is not None:
                old.copy_(new)


@contextlib.contextmanager
def _unharmed(device: torch.device) -> Iterator[None]:
    """Stream and generator as they were, if a recording breaks off: torch leaves both in it."""
    index = torch.cuda.current_device() if device.index is None else device.index
    generator = torch.cuda.default_generators[index]
    before = generator.clone_state()
    with torch.cuda.stream(torch.cuda.current_stream(device)):
        try:
            yield
        except RuntimeError:
            generator.graphsafe_set_state(before)
            raise
