"""Law 1 as a measuring device: a part is fed items alone, and in padded batches full of garbage.

A part takes streams (sequences with lengths of their own) and gives sequences; a new part is one
`Part` in a list of a test file.
"""

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

GARBAGE_TOKEN = 10**6
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


@dataclasses.dataclass(frozen=True)
class Stream:
    """A sequence that goes in: channels (0: token ids) and the length of each item."""

    channels: int
    lengths: tuple[int, ...]


Inputs = dict[str, Tensor]
Lengths = dict[str, Tensor]
Outputs = list[tuple[Tensor, ...]]  # each (batch, time, ...) with valid lengths, an axis each


@dataclasses.dataclass(frozen=True)
class Part:
    """A part under the law: how it is built, what goes in, how it is called."""

    name: str
    build: Callable[[], nn.Module]
    streams: dict[str, Stream]
    call: Callable[[nn.Module, Inputs, Lengths], Outputs]
    normalises: bool = False  # has batch statistics: an item alone is another batch in training


@dataclasses.dataclass
class Result:
    """Result of one run: valid outputs and input gradients per item, and gradients and buffers."""

    outputs: list[list[Tensor]]
    input_gradients: list[dict[str, Tensor]]
    gradients: dict[str, Tensor]
    buffers: dict[str, Tensor]


def make_items(part: Part, dtype: torch.dtype) -> list[Inputs]:
    """Random items, each with streams of its own lengths and no padding."""
    generator = torch.Generator().manual_seed(1)

    def item(i: int) -> Inputs:
        return {
            name: torch.randint(6, (s.lengths[i],), generator=generator)
            if s.channels == 0
            else torch.randn(s.lengths[i], s.channels, generator=generator, dtype=dtype)
            for name, s in part.streams.items()
        }

    return [item(i) for i in range(count(part))]


def count(part: Part) -> int:
    return len(next(iter(part.streams.values())).lengths)


def run(part: Part, module: nn.Module, items: list[Inputs], extra: int, garbage: float) -> Result:
    """Pad the items to one batch, `extra` positions longer than needed, and go back and forth."""
    module.zero_grad()
    lengths = {n: torch.tensor([len(item[n]) for item in items]) for n in part.streams}
    padded = {n: _padded([item[n] for item in items], extra, garbage) for n in part.streams}
    floats = {n: x.requires_grad_() for n, x in padded.items() if x.is_floating_point()}
    outputs = part.call(module, padded, lengths)
    rows = [[_cut(i, *output) for output in outputs] for i in range(len(items))]
    sum(_weighted(x) for row in rows for x in row).backward()
    return Result(
        outputs=[[x.detach() for x in row] for row in rows],
        input_gradients=[
            {n: x.grad[i, : int(lengths[n][i])] for n, x in floats.items()}
            for i in range(len(items))
        ],
        gradients={
            n: torch.zeros_like(p) if p.grad is None else p.grad.clone()
            for n, p in module.named_parameters()
        },
        buffers={n: b.clone() for n, b in module.named_buffers()},
    )


def _cut(i: int, whole: Tensor, *lengths: Tensor) -> Tensor:
    return whole[i][tuple(slice(int(valid[i])) for valid in lengths)]


def _padded(sequences: list[Tensor], extra: int, garbage: float) -> Tensor:
    longest = max(map(len, sequences)) + extra
    fill = garbage if sequences[0].is_floating_point() else GARBAGE_TOKEN
    whole = torch.full((len(sequences), longest, *sequences[0].shape[1:]), fill)
    whole = whole.to(sequences[0].dtype)
    for row, sequence in zip(whole, sequences, strict=True):
        row[: len(sequence)] = sequence
    return whole


def _weighted(x: Tensor) -> Tensor:
    """A sum in which every entry counts differently, so no two errors cancel."""
    index = torch.arange(x.numel(), dtype=x.dtype).reshape(x.shape)
    return (x * torch.cos(index)).sum() / math.sqrt(x.numel())


def assert_same(actual: Tensor, true: Tensor, what: str) -> None:
    """Within the law's tolerance, relative to the largest value where that exceeds 1."""
    assert actual.shape == true.shape, what
    scale = max(1.0, float(true.abs().max())) if true.numel() else 1.0
    error = float((actual - true).abs().max()) / scale if true.numel() else 0.0
    limit = TOLERANCE.get(true.dtype, 0.0)
    assert error <= limit, f"{what}: off by {error:.2g}, allowed {limit:g}"  # NaN fails too


def assert_same_results(actual: Result, true: Result) -> None:
    for i, (ours, theirs) in enumerate(zip(actual.outputs, true.outputs, strict=True)):
        for j, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, f"output {j} of item {i}")
    for i, (a, b) in enumerate(zip(actual.input_gradients, true.input_gradients, strict=True)):
        for name in b:
            assert_same(a[name], b[name], f"gradient of {name} of item {i}")
    for name in true.gradients:
        assert_same(actual.gradients[name], true.gradients[name], f"gradient of {name}")
    for name in true.buffers:
        assert_same(actual.buffers[name], true.buffers[name], name)


def joined(results: list[Result]) -> Result:
    """Expected result of a batch, from the results of its items: gradients are added."""
    return Result(
        outputs=[r.outputs[0] for r in results],
        input_gradients=[r.input_gradients[0] for r in results],
        gradients={n: sum(r.gradients[n] for r in results) for n in results[0].gradients},
        buffers=results[0].buffers,
    )
