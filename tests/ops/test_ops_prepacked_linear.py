"""Packed products are the plain ones, and only where no gradient is asked for."""

import pytest
import torch

from speechseq.ops.cpp.library import library
from speechseq.ops.deferred_linear import KERNELS, DeferredGradLinear, PrepackedLinear, prepacked

ONTO = {
    "nothing": lambda rows: None,
    "a bias": lambda rows: torch.randn(20),
    "a row for all": lambda rows: torch.randn(1, 20).expand(rows, -1),
    "rows": lambda rows: torch.randn(rows, 20),
    "columns of something": lambda rows: torch.randn(20, rows).t(),
    "part of something": lambda rows: torch.randn(rows, 31)[:, 3:23],
}


@pytest.fixture(params=["our kernel, if it can be had", "oneDNN"])
def whose(request, monkeypatch):
    if request.param == "oneDNN":
        monkeypatch.setattr("speechseq.ops.deferred_linear.library", lambda name: None)
    return request.param == "oneDNN" or library(KERNELS) is None


@pytest.mark.parametrize("rows", [1, 2, 17, 130])
@pytest.mark.parametrize("onto", ONTO)
@pytest.mark.parametrize("biased", [False, True], ids=["no bias", "bias"])
def test_equals_the_recurring_linear(whose, rows, onto, biased):
    weight, bias, x = torch.randn(20, 9), torch.randn(20) if biased else None, torch.randn(rows, 9)
    base = ONTO[onto](rows)
    with torch.no_grad():
        plain = DeferredGradLinear(weight, bias)
        fast = prepacked(plain)
        assert isinstance(fast, PrepackedLinear)
        assert fast.has_kernel == (not whose)
        torch.testing.assert_close(fast(x, base), plain(x, base), rtol=1e-5, atol=1e-5)
        wide = torch.randn(rows, 13)[:, 2:11]
        torch.testing.assert_close(fast(wide, base), plain(wide, base), rtol=1e-5, atol=1e-5)


def test_what_cannot_be_packed_stays_as_it_is():
    weight = torch.randn(6, 4)
    with torch.no_grad():
        for linear in (
            DeferredGradLinear(weight.double(), None),
            DeferredGradLinear(weight.bfloat16(), None),
            DeferredGradLinear(weight[:, :0], None),
        ):
            assert prepacked(linear) is linear
    linear = DeferredGradLinear(weight.requires_grad_(), None)
    assert prepacked(linear) is linear
