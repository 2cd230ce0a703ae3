"""CUDA graphs for loops of small launches, captured once and replayed at once [experimental].

A loop of single steps on a GPU is limited by its launches, not by arithmetic. Off unless the
environment has `SPEECHSEQ_CUDA_GRAPHS=1`. No GPU has run it so far: with the value `rehearse`, the
same code runs with plain calls instead of graphs, also on a CPU, and the tests compare that.
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

_KEPT: "WeakKeyDictionary[nn.Module, dict[tuple, Graphs]]" = WeakKeyDictionary()
_REMEMBERED = 256  # signatures seen once


def graphs_of(owner: nn.Module, device: torch.device) -> "Graphs | None":
    """Cache of a module's graphs, which lives as long as the module; None if graphs are disabled,
    or a replay would bypass hooks or replaced modules (see `ops.plain`)."""
    asked = os.environ.get("SPEECHSEQ_CUDA_GRAPHS", "0")
    rehearsed = asked == "rehearse"
    if not rehearsed and (asked != "1" or device.type != "cuda"):
        return None
    if not is_eager() or (device.type == "cuda" and torch.cuda.is_current_stream_capturing()):
        return None
    if not rehearsed and not all_plain(owner):  # a rehearsal calls them all again
        return None
    kept, way = _KEPT.setdefault(owner, {}), (device, rehearsed)
    if way not in kept:
        kept[way] = Graphs(Recorder(device, rehearsed))
    return kept[way]


class Graphs:
    """Cache of CUDA graphs; a call is captured the second time that its signature is seen.

    The signature has the shapes and dtypes of tensors, the other arguments, the addresses of the
    weights, and the grad and autocast modes. The least recently used graph is dropped when there
    are more than `most`. All graphs share one memory pool, so together they hold the memory of the
    largest, and each a copy of its arguments and results. A capture that fails warns once; from
    then on the function is called without graphs.
    """

    most = 8

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.replays: dict[Hashable, _Replay] = {}
        self.met: set[Hashable] = set()
        self.turn = 0  # of the passes through the shared memory
        self.failed = False

    def __call__(
        self,
        function: Callable[..., Any],
        arguments: tuple,
        weights: Series[Tensor] = (),
        key: Hashable = None,
    ) -> Any:
        """Return `function(*arguments)`, or its replay; arguments are nested tuples of tensors and
        numbers.

        The function must not synchronise with the device or use random numbers. The backward pass
        must run before the next call, and only once.

        Args:
            weights: all parameters that the function reads.
            key: anything else that the function depends on.
        """
        leaves, shape = tree_flatten(arguments)
        like = (_like(leaves), _like(weights, places=True), key, *_modes(self.recorder.device))
        if like not in self.replays and not self._recorded(like, function, leaves, shape, weights):
            return function(*arguments)
        replay = self.replays[like] = self.replays.pop(like)  # the most recent comes last
        with _refillable():
            made = _Replayed.apply(self, replay, *_tensors(leaves), *weights)
        return tree_unflatten(made, replay.shape)

    def _recorded(
        self,
        like: Hashable,
        function: Callable[..., Any],
        leaves: list,
        shape: Any,
        weights: Series[Tensor],
    ) -> bool:
        if self.failed or like not in self.met:
            if len(self.met) > _REMEMBERED:
                self.met.clear()
            self.met.add(like)
            return False
        self.turn += 1
        try:
            with _refillable():
                made = _Replay(lambda x: function(*tree_unflatten(x, shape)), leaves, weights, self)
        except RuntimeError as error:
            self.failed = True
            warnings.warn(
                f"a CUDA graph could not be recorded; its steps run one by one, slower. "
                f"Without SPEECHSEQ_CUDA_GRAPHS nothing is recorded. torch said: {error}",
                RuntimeWarning,
                stacklevel=4,
            )
            return False
        self.replays[like] = made
        if len(self.replays) > self.most:
            del self.replays[next(iter(self.replays))]
        return True


class _Replay:
    """Captured call, with its own tensors for arguments, results and their gradients."""

    def __init__(
        self, function: Callable[[list], Any], leaves: list, weights: Series[Tensor], graphs: Graphs
    ) -> None:
        self.function, self.recorder = function, graphs.recorder
        self.leaves = [_own(x) if isinstance(x, Tensor) else x for x in leaves]
        self.given = _tensors(self.leaves)
        self.sought = [x for x in (*self.given, *weights) if x.requires_grad]
        self.sought = self.sought if torch.is_grad_enabled() else []
        self.wanted = [x.requires_grad for x in (*self.given, *weights)]
        self.autocast = _autocast(self.recorder.device)
        self.live: list[Tensor] = []  # results with their graph, between the two passes
        self.grads: list[Tensor] = []
        self.recorder.warm(self._both)
        self.forward = self.recorder.record(self._forward)
        self.backward: Recording | None = None
        if self.sought:
            self.backward = self.recorder.record(self._backward)
        if not self.recorder.rehearsed:  # a graph needs neither the function nor its owner
            del self.live, self.function

    def _both(self) -> None:
        self._forward()
        if self.sought:
            self.grads = [torch.zeros_like(x) for x in self.live if x.requires_grad]
            self._backward()

    def _forward(self) -> list[Tensor]:
        with self.autocast(), torch.set_grad_enabled(bool(self.sought)):
            flat, self.shape = tree_flatten(self.function(self.leaves))
        self.live = flat
        self.has_grad = [x.requires_grad for x in flat]
        return [x.detach() for x in flat]

    def _backward(self) -> list[Tensor | None]:
        results = [x for x in self.live if x.requires_grad]
        with torch.autocast(self.recorder.device.type, enabled=False):
            return list(torch.autograd.grad(results, self.sought, self.grads, allow_unused=True))

    def go(self, arguments: Series[Tensor]) -> tuple[Tensor, ...]:
        """Replay the forward pass; return the results as tensors that the caller may keep."""
        with torch.no_grad():
            _copy(arguments, self.given)
            return _copied([x for x in self.forward.replay() if x is not None])

    def back(self, gradients: Series[Tensor]) -> list[Tensor | None]:
        """Return the gradients of all arguments and weights, None for those that need none."""
        assert self.backward is not None
        asked = [x for x, has_grad in zip(gradients, self.has_grad, strict=True) if has_grad]
        _copy(asked, self.grads)
        # copies: a leaf would keep the tensor as its gradient, which the next replay overwrites
        replayed = self.backward.replay()
        made = iter(_copied([x for x in replayed if x is not None]))
        found = iter([None if x is None else next(made) for x in replayed])
        return [next(found) if wanted else None for wanted in self.wanted]


class _Replayed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, graphs: Graphs, replay: _Replay, *tensors: Tensor) -> tuple[Tensor, ...]:
        graphs.turn += 1
        ctx.graphs, ctx.replay, ctx.turn = graphs, replay, graphs.turn
        made = replay.go(tensors[: len(replay.given)])
        ctx.mark_non_differentiable(
            *(x for x, has_grad in zip(made, replay.has_grad, strict=True) if not has_grad)
        )
        return made

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
        return None, None, *ctx.replay.back(gradients)


@contextlib.contextmanager
def _refillable() -> Iterator[None]:
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


def _copy(sources: Series[Tensor], places: Series[Tensor]) -> None:
    """Copy tensors in one launch per dtype, since the GPU waits for the host here."""
    kinds: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
    for place, source in zip(places, sources, strict=True):
        into, of = kinds.setdefault(place.dtype, ([], []))
        into.append(place)
        of.append(source)
    for into, of in kinds.values():
        torch._foreach_copy_(into, of)


def _like(leaves: Series[Any], places: bool = False) -> tuple:
    return tuple(
        (x.shape, x.dtype, x.device, x.requires_grad, places and x.data_ptr())
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
