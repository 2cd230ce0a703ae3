"""Kernels read memory; where tensors have none to read, the plain formula runs and is the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from speechseq.eager import has_memory, is_eager

TESTS = Path(__file__).parent


@pytest.mark.parametrize("way", ["trace", "functional"])
def test_every_part_is_the_same_when_traced_compiled_exported_or_transformed(way: str) -> None:
    """The check runs in its own process, because a kernel that meets a tracer may crash it."""
    paths = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
    child = subprocess.run(
        [sys.executable, TESTS / "traced_parts.py", way],
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert child.returncode == 0, child.stderr[-3000:]
    assert child.stdout == "the same\n"


def test_numbers_in_plain_tensors_may_be_read() -> None:
    assert has_memory(torch.zeros(2), torch.nn.Parameter(torch.zeros(2)), None)
    with torch.device("cpu"):
        assert is_eager()


class Own(Tensor):
    """A subclass without a change."""


def test_other_tensors_may_not() -> None:
    with FakeTensorMode():
        fake = torch.zeros(2)
    turned = torch.zeros(2, dtype=torch.complex64).conj().imag
    for x in (fake, torch.zeros(2).as_subclass(Own), turned, torch.eye(2).to_sparse()):
        assert not has_memory(x)


def test_modes_and_transforms_see_every_operation() -> None:
    seen: list[bool] = []

    def look(x: Tensor) -> Tensor:
        seen.append(is_eager())
        return x.sum()

    torch.jit.trace(look, torch.zeros(2), check_trace=False)
    torch.vmap(look)(torch.zeros(2, 2))
    torch.func.grad(look)(torch.zeros(2))
    with FlopCounterMode(display=False):
        look(torch.zeros(2))
    with torch.device("meta"):
        look(torch.zeros(2))
    with torch.autograd.forward_ad.dual_level():
        look(torch.zeros(2))
    assert len(seen) == 6
    assert not any(seen)
    assert is_eager()
