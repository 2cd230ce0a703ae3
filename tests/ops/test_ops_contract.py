"""The contract of all ops: their formula's numbers, in any padding, by any number of threads.

The cases are in op_cases.py and sequence_op_cases.py; special cases have files of their own.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from op_cases import DENSE, Case
from sequence_op_cases import SEQUENCES
from torch import Tensor

from speechseq.ops import linear
from speechseq.ops.cpp.compiler import compiler
from speechseq.ops.cpp.library import library
from speechseq.ops.cpp.signature import Signature

CASES = [*DENSE, *SEQUENCES]
THERE = compiler() is not None
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
each_padded = pytest.mark.parametrize("case", SEQUENCES, ids=lambda case: case.name)
each_kernel = pytest.mark.parametrize(
    "case", [case for case in CASES if case.kernel != "none"], ids=lambda case: case.name
)


class Results(NamedTuple):
    """Outputs with and without gradients, and the gradients of all inputs."""

    outputs: list[Tensor]
    untracked: list[Tensor]
    gradients: list[Tensor]


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kernels that were called; they are used where they do not pay, too."""
    called: list[str] = []
    check = Signature.check

    def record(self: Signature, function: str, *rest: object) -> object:
        called.append(function)
        return check(self, function, *rest)

    monkeypatch.setattr(Signature, "check", record)
    if THERE and library("gemm") is not None:
        monkeypatch.setattr(linear, "_faster_than_torch", lambda: True)
        monkeypatch.setattr(linear, "_FEW", 1)
    return called


@pytest.fixture
def by_wish(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that was started with SPEECHSEQ_NATIVE=0."""
    monkeypatch.setenv("SPEECHSEQ_NATIVE", "0")
    caches = library.cache_clear, linear._faster_than_torch.cache_clear
    for clear in caches:
        clear()
    yield
    for clear in caches:
        clear()


def made_inputs(case: Case, fill: float = 0.0) -> list[Tensor]:
    """Its inputs in float32, the padding filled."""
    torch.manual_seed(0)
    first, *rest = case.inputs()
    if case.mask is not None:
        first = first.masked_fill(~case.mask.unsqueeze(2), fill)
    return [first, *rest]


def results(function, inputs: list[Tensor], training: bool) -> Results:  # type: ignore[no-untyped-def]
    given = [x.detach().requires_grad_(training) for x in inputs]
    with torch.no_grad():
        untracked = [y.detach() for y in listed(function(*given))]
    if not training:
        return Results(untracked, untracked, [])
    outputs = listed(function(*given))
    loss = sum(weighed(y) for y in outputs if y.requires_grad)
    grads = torch.autograd.grad(loss, given)
    return Results([y.detach() for y in outputs], untracked, list(grads))


@functools.cache
def expected(case: Case) -> Results:
    """The formula's results in float64; what stands in the padding is NaN."""
    doubles = [x.double() for x in made_inputs(case, torch.nan)]
    return results(case.formula, doubles, case.training)


def listed(output: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    return list(output) if isinstance(output, tuple) else [output]


def weighed(y: Tensor) -> Tensor:
    """A loss that tells all outputs apart."""
    return (y * torch.cos(torch.arange(y.numel(), dtype=y.dtype)).view_as(y)).sum()


def assert_within(actual: Results, true: Results, bound: tuple[float, float]) -> None:
    for limit, ours, theirs in (
        (bound[0], actual.outputs, true.outputs),
        (bound[0], actual.untracked, true.outputs),
        (bound[1], actual.gradients, true.gradients),
    ):
        for a, b in zip(ours, theirs, strict=True):
            assert a.shape == b.shape
            scale = max(1.0, float(b.abs().max())) if b.numel() else 1.0
            error = float((a.double() - b).abs().max()) / scale if b.numel() else 0.0
            assert error <= limit  # NaN fails too


@each_case
def test_it_equals_its_formula_in_float64_gradients_included(
    case: Case, kernels: list[str]
) -> None:
    inputs, true = made_inputs(case, torch.nan), expected(case)
    doubles = [x.double() for x in inputs]
    assert_within(results(case.op, inputs, case.training), true, case.bound)
    assert_within(results(case.op, doubles, case.training), true, (1e-10, 1e-10))
    assert bool(kernels) == (case.kernel != "none" and THERE)


@each_padded
def test_nothing_in_the_padding_is_read(case: Case, kernels: list[str]) -> None:
    quiet, *others = [
        results(case.op, made_inputs(case, fill), case.training) for fill in (0.0, 1e4, torch.nan)
    ]
    for actual in others:
        for ours, theirs in zip(actual, quiet, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
        assert not actual.gradients[0][~case.mask].any()
        if actual.outputs[0].shape[:2] == case.mask.shape:
            assert not actual.outputs[0][~case.mask].any()


@each_kernel
@pytest.mark.skipif(not THERE, reason="this machine has no C++ compiler")
def test_threads_change_no_bit(case: Case, kernels: list[str]) -> None:
    found = []
    for threads in (1, 2, 3, 5):
        torch.set_num_threads(threads)
        actual = results(case.op, made_inputs(case), case.training)
        found.append(actual if case.kernel == "training" else actual[1:2])
    for actual in found[1:]:
        for ours, theirs in zip(actual, found[0], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@each_kernel
@pytest.mark.usefixtures("by_wish")
def test_speechseq_native_0_is_obeyed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Signature, "check", None)  # no kernel is called
    for dtype in (torch.float32, torch.float64):
        inputs = [x.to(dtype) for x in made_inputs(case, torch.nan)]
        assert_within(results(case.op, inputs, case.training), expected(case), case.bound)
