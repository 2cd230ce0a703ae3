"""CUDA graphs for loops of small kernel launches: captured once, then replayed [experimental].

A loop of single steps on a GPU is limited by its launches, not by arithmetic. Graphs are used if
the environment has `SPEECHSEQ_CUDA_GRAPHS=1`. No GPU has run them so far. With the value `rehearse`
the same code makes plain calls instead of graphs, also on a CPU; the tests compare this emulation.
"""

import contextlib
import os
import warnings
from collections.abc import Callable, Hashable, Iterator
from collections.abc import Sequence as Series
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils._pytree import tree_flatten, tree_unflatten

from speechseq.eager import is_eager
from speechseq.ops.cuda_capture import Recorder, Recording
from speechseq.ops.plain import all_plain

_CACHES: "WeakKeyDictionary[nn.Module, dict[tuple, GraphCache]]" = WeakKeyDictionary()
_REMEMBERED = 256  # signatures seen once


def graph_cache(module: nn.Module, device: torch.device) -> "GraphCache | None":
    """Return the cache of CUDA graphs of a module for a device; it lives as long as the module.

    The result is None if graphs are disabled (without `SPEECHSEQ_CUDA_GRAPHS=1` in the
    environment), or if a replay would bypass hooks or replaced modules of the module.

    Args:
        module: module whose loop is captured.
        device: device of the tensors.
    """
    setting = os.environ.get("SPEECHSEQ_CUDA_GRAPHS", "0")
    emulated = setting == "rehearse"
    if not emulated and (setting != "1" or device.type != "cuda"):
        return None
    if not is_eager() or (device.type == "cuda" and torch.cuda.is_current_stream_capturing()):
        return None
    if not emulated and not all_plain(module):  # an emulation calls hooks and submodules again
        return None
    caches, key = _CACHES.setdefault(module, {}), (device, emulated)
    if key not in caches:
        caches[key] = GraphCache(Recorder(device, emulated))
    return caches[key]


class GraphCache:
    """Cache of CUDA graphs; a call is captured the second time that its signature is seen.

    Call `cache(function, arguments, weights)` instead of `function(*arguments)`. The signature has
    the shapes and dtypes of tensors, the other arguments, the addresses of the weights, and the
    grad and autocast modes. The least recently used graph is dropped when there are more than
    `most` (8). All graphs share one memory pool as large as the largest graph needs, and each graph
    has a copy of its arguments and results. If a capture fails, a warning is given once, and the
    function is called without graphs from then on.

    Args:
        recorder: captures the calls, on the device of the tensors.
    """

    most = 8

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.replays: dict[Hashable, _Replay] = {}
        self.seen: set[Hashable] = set()
        self.turn = 0  # counts passes, which all overwrite the shared memory
        self.failed = False

    def __call__(
        self,
        function: Callable[..., Any],
        arguments: tuple,
        weights: Series[Tensor] = (),
        key: Hashable = None,
    ) -> Any:
        """Return `function(*arguments)`, by a replay if a graph of this signature exists.

        The function must not synchronise with the device or use random numbers. The backward pass
        must run before the next call, and only once.

        Args:
            arguments: nested tuples of tensors and numbers.
            weights: all parameters that the function reads.
            key: anything else that the function depends on.
        """
        leaves, shape = tree_flatten(arguments)
        device = self.recorder.device
        signature = (_shapes(leaves), _shapes(weights, addresses=True), key, *_modes(device))
        known = signature in self.replays
        if not known and not self._captured(signature, function, leaves, shape, weights):
            return function(*arguments)
        # the most recently used comes last
        replay = self.replays[signature] = self.replays.pop(signature)
        with _no_inference_mode():
            outputs = _Replayed.apply(self, replay, *_tensors(leaves), *weights)
        return tree_unflatten(outputs, replay.shape)

    def _captured(
        self,
        signature: Hashable,
        function: Callable[..., Any],
        leaves: list,
        shape: Any,
        weights: Series[Tensor],
    ) -> bool:
        if self.failed or signature not in self.seen:
            if len(self.seen) > _REMEMBERED:
                self.seen.clear()
            self.seen.add(signature)
            return False
        self.turn += 1
        try:
            with _no_inference_mode():
                replay = _Replay(
                    lambda x: function(*tree_unflatten(x, shape)), leaves, weights, self
                )
        except RuntimeError as error:
            self.failed = True
            warnings.warn(
                f"a CUDA graph could not be recorded; its steps run one by one, slower. "
                f"Without SPEECHSEQ_CUDA_GRAPHS nothing is recorded. torch said: {error}",
                RuntimeWarning,
                stacklevel=4,
            )
            return False
        self.replays[signature] = replay
        if len(self.replays) > self.most:
            del self.replays[next(iter(self.replays))]
        return True


class _Replay:
    """Captured call, with its own tensors for arguments, results and their gradients."""

    def __init__(
        self,
        function: Callable[[list], Any],
        leaves: list,
        weights: Series[Tensor],
        graphs: GraphCache,
    ) -> None:
        self.function, self.recorder = function, graphs.recorder
        self.leaves = [_own(x) if isinstance(x, Tensor) else x for x in leaves]
        self.inputs = _tensors(self.leaves)
        self.needs_grad = [x for x in (*self.inputs, *weights) if x.requires_grad]
        self.needs_grad = self.needs_grad if torch.is_grad_enabled() else []
        self.has_input_grad = [x.requires_grad for x in (*self.inputs, *weights)]
        self.autocast = _autocast(self.recorder.device)
        self.outputs: list[Tensor] = []  # with their autograd graph, between the two passes
        self.grads: list[Tensor] = []
        self.recorder.warm(self._both)
        self.forward = self.recorder.record(self._forward)
        self.backward: Recording | None = None
        if self.needs_grad:
            self.backward = self.recorder.record(self._backward)
        if not self.recorder.emulated:  # a graph needs neither the function nor its owner
            del self.outputs, self.function

    def _both(self) -> None:
        self._forward()
        if self.needs_grad:
            self.grads = [torch.zeros_like(x) for x in self.outputs if x.requires_grad]
            self._backward()

    def _forward(self) -> list[Tensor]:
        with self.autocast(), torch.set_grad_enabled(bool(self.needs_grad)):
            flat, self.shape = tree_flatten(self.function(self.leaves))
        self.outputs = flat
        self.has_output_grad = [x.requires_grad for x in flat]
        return [x.detach() for x in flat]

    def _backward(self) -> list[Tensor | None]:
        results = [x for x in self.outputs if x.requires_grad]
        with torch.autocast(self.recorder.device.type, enabled=False):
            return list(
                torch.autograd.grad(results, self.needs_grad, self.grads, allow_unused=True)
            )

    def forward_pass(self, arguments: Series[Tensor]) -> tuple[Tensor, ...]:
        """Replay the forward pass; return the results as tensors that the caller may keep."""
        with torch.no_grad():
            _copy(arguments, self.inputs)
            return _copied([x for x in self.forward.replay() if x is not None])

    def backward_pass(self, gradients: Series[Tensor]) -> list[Tensor | None]:
        """Return the gradients of all arguments and weights, None for those that need none."""
        assert self.backward is not None
        pairs = zip(gradients, self.has_output_grad, strict=True)
        _copy([x for x, has_grad in pairs if has_grad], self.grads)
        # copies: a leaf would keep the tensor as its gradient, which the next replay overwrites
        replayed = self.backward.replay()
        copies = iter(_copied([x for x in replayed if x is not None]))
        grads = iter([None if x is None else next(copies) for x in replayed])
        return [next(grads) if has_grad else None for has_grad in self.has_input_grad]


class _Replayed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, graphs: GraphCache, replay: _Replay, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        graphs.turn += 1
        ctx.graphs, ctx.replay, ctx.turn = graphs, replay, graphs.turn
        outputs = replay.forward_pass(tensors[: len(replay.inputs)])
        pairs = zip(outputs, replay.has_output_grad, strict=True)
        ctx.mark_non_differentiable(*(x for x, has_grad in pairs if not has_grad))
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.turn != ctx.graphs.turn:
            raise RuntimeError(
                "the loop was run again, or its gradient taken, before this gradient was asked "
                "for, and a CUDA graph has one place for both: call backward() after each forward "
                "pass and once, or leave SPEECHSEQ_CUDA_GRAPHS away"
            )
        ctx.graphs.turn += 1
        return None, None, *ctx.replay.backward_pass(gradients)


@contextlib.contextmanager
def _no_inference_mode() -> Iterator[None]:
    """A context without inference mode, whose tensors could not be written outside of it."""
    grad = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.set_grad_enabled(grad):
        yield


def _tensors(leaves: list) -> list[Tensor]:
    return [x for x in leaves if isinstance(x, Tensor)]


def _own(x: Tensor) -> Tensor:
    """Contiguous copy of a tensor, with the same requires_grad."""
    return x.detach().clone(memory_format=torch.contiguous_format).requires_grad_(x.requires_grad)


def _copied(tensors: Series[Tensor]) -> tuple[Tensor, ...]:
    copies = tuple(map(torch.empty_like, tensors))
    _copy(tensors, copies)
    return copies


def _copy(sources: Series[Tensor], targets: Series[Tensor]) -> None:
    """Copy tensors in one launch per dtype, since the GPU waits for the host here."""
    by_dtype: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
    for target, source in zip(targets, sources, strict=True):
        same_targets, same_sources = by_dtype.setdefault(target.dtype, ([], []))
        same_targets.append(target)
        same_sources.append(source)
    for same_targets, same_sources in by_dtype.values():
        torch._foreach_copy_(same_targets, same_sources)


def _shapes(leaves: Series[Any], addresses: bool = False) -> tuple:
    """Shapes, dtypes and devices of tensors, with their addresses if asked; other leaves as is."""
    return tuple(
        (x.shape, x.dtype, x.device, x.requires_grad, addresses and x.data_ptr())
        if isinstance(x, Tensor)
        else x
        for x in leaves
    )


def _modes(device: torch.device) -> tuple[Hashable, ...]:
    kind = device.type
    return torch.is_grad_enabled(), torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)


def _autocast(device: torch.device) -> Callable[[], contextlib.AbstractContextManager]:
    """Current autocast mode, but without its cache: a cast made in a graph is invalid outside."""
    kind = device.type
    on, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
    return lambda: torch.autocast(kind, dtype=dtype, enabled=on, cache_enabled=False)
