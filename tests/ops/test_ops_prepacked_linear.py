"""Packed products are the plain ones, and only where no gradient is asked for."""

import pytest
import torch

from speechseq.ops.cpp.library import library
from speechseq.ops.deferred_linear import KERNELS, DeferredGradLinear, PrepackedLinear, prepacked


@pytest.fixture(params=["our kernel, if it can be had", "oneDNN"])
def whose(request, monkeypatch):
    if request.param == "oneDNN":
        monkeypatch.setattr("speechseq.ops.deferred_linear.library", lambda name: None)
    return request.param == "oneDNN" or library(KERNELS) is None


def test_a_layer_is_packed_by_our_kernel_or_by_onednn(whose):
    with torch.no_grad():
        fast = prepacked(DeferredGradLinear(torch.randn(20, 9), torch.randn(20)))
    assert isinstance(fast, PrepackedLinear)
    assert fast.has_kernel == (not whose)


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
