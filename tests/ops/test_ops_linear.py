"""The dense products' kernel: layouts, dtypes and rows alone; its formula is in the contract."""

import pytest
import torch
from torch.nn import functional as F

from speechseq.ops import linear
from speechseq.ops.cpp.library import library

pytestmark = pytest.mark.skipif(library("gemm") is None, reason="this machine has no kernels")


@pytest.fixture(autouse=True)
def _everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is used where it does not pay, too: it has to be right everywhere."""
    monkeypatch.setattr(linear, "_faster_than_torch", lambda: True)
    monkeypatch.setattr(linear, "_FEW", 1)


def test_other_rows_change_no_bit():
    x, weight, bias = torch.randn(150, 1100), torch.randn(70, 1100), torch.randn(70)
    one = linear.linear(x, weight, bias)
    assert torch.equal(linear.linear(x[67:68], weight, bias), one[67:68])


def test_slices_of_parameters_and_rows_with_gaps_are_understood():
    x, weight = torch.randn(8, 20, 9)[:, ::2, :6], torch.randn(11, 9)[:, :6]
    torch.testing.assert_close(linear.linear(x, weight), F.linear(x, weight))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_and_autocast_are_torch_s(dtype, monkeypatch):
    monkeypatch.setattr(linear, "call", None)
    x, weight = torch.randn(5, 4), torch.randn(3, 4)
    assert linear.linear(x.to(dtype), weight.to(dtype)).dtype == dtype
    with torch.autocast("cpu", torch.bfloat16):
        assert linear.linear(x, weight).dtype == torch.bfloat16


def test_no_rows_give_no_rows():
    assert linear.linear(torch.zeros(0, 4), torch.zeros(3, 4)).shape == (0, 3)
