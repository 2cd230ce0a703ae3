"""Capture of a function's launches as a CUDA graph, or emulation of the graph [experimental]."""

import contextlib
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Series

import torch
from torch import Tensor

Outputs = Series[Tensor | None]
_ROUNDS = 3  # of warm-up, in which libraries choose kernels and allocate memory


class Recording:
    """Captured call of a function; made by `Recorder.record`.

    Write new values into the function's input tensors, then call `replay`.

    Args:
        outputs: output tensors, which every replay overwrites.
        launch: function that launches the captured work again.
    """

    def __init__(self, outputs: Outputs, launch: Callable[[], None]) -> None:
        self.outputs, self.launch = outputs, launch

    def replay(self) -> Outputs:
        """Run the captured work on the current contents of the inputs; return the outputs."""
        self.launch()
        return self.outputs


class Recorder:
    """Captures functions as CUDA graphs on a device (experimental).

    Args:
        device: device of the tensors.
        emulated: capture nothing; a replay calls the function again, on any device.
    """

    def __init__(self, device: torch.device, emulated: bool) -> None:
        self.device, self.emulated = device, emulated
        self.pool = None if emulated else torch.cuda.graph_pool_handle()

    def warm(self, function: Callable[[], None]) -> None:
        """Call a function a few times, until libraries have chosen kernels and allocated memory.

        A capture needs this. With `emulated`, the function is called once.

        Args:
            function: the function to be captured, without arguments.
        """
        if self.emulated:
            return function()
        current, side = torch.cuda.current_stream(self.device), torch.cuda.Stream(self.device)
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(_ROUNDS):
                function()
        return current.wait_stream(side)

    def record(self, function: Callable[[], Outputs]) -> Recording:
        """Capture a function's launches as a CUDA graph.

        Args:
            function: function without arguments, which returns its output tensors.

        Returns:
            The captured call, which can be replayed.

        Raises:
            RuntimeError: the function cannot be captured, for instance because it synchronises.
        """
        if self.emulated:
            outputs = function()
            return Recording(outputs, lambda: _overwrite(outputs, function()))
        graph = torch.cuda.CUDAGraph()
        # other threads (a loader that pins memory, NCCL's watchdog) may use CUDA meanwhile
        capture = torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local")
        with _restored_on_failure(self.device), capture:
            outputs = function()
        return Recording(outputs, graph.replay)


def _overwrite(outputs: Outputs, later: Outputs) -> None:
    """Copy later outputs into the tensors of the first ones, as a graph does."""
    with torch.no_grad():
        for old, new in zip(outputs, later, strict=True):
            if old is not None and new is not None:
                old.copy_(new)


@contextlib.contextmanager
def _restored_on_failure(device: torch.device) -> Iterator[None]:
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
