"""Convolutions over valid rows: wanted gradients, other utterances, and the layout of rows."""

import pytest
import torch
from sequence_op_cases import MASKS

from speechseq.ops import linear
from speechseq.ops.conv import convolve
from speechseq.ops.cpp.library import library
from speechseq.ops.varlen import Varlen


@pytest.fixture(params=["kernel", "torch"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways on every machine that has kernels, whether they pay there or not."""
    if request.param == "kernel" and library("gemm") is None:
        pytest.skip("this machine has no kernels")
    monkeypatch.setattr(linear, "_faster_than_torch", lambda: request.param == "kernel")


@pytest.mark.usefixtures("_way")
def test_a_gradient_that_nobody_asks_for_is_not_made():
    x, weight = torch.randn(10, 4), torch.randn(5, 4, 3, requires_grad=True)
    convolve(x, Varlen.of(MASKS["nothing padded"]), weight, None).sum().backward()
    assert x.grad is None
    assert weight.grad is not None


def test_other_utterances_change_no_bit(monkeypatch):
    if library("gemm") is None:
        pytest.skip("this machine has no kernels")
    monkeypatch.setattr(linear, "_faster_than_torch", lambda: True)
    x, weight = torch.randn(3, 90, 20), torch.randn(40, 20, 5)
    rows = Varlen.of(MASKS["many"])
    together = rows.pad(convolve(rows.unpad(x), rows, weight, None))
    own = Varlen.of(torch.ones(1, 70, dtype=torch.bool))
    assert torch.equal(convolve(x[2, :70], own, weight, None), together[2, :70])


def test_rows_go_to_a_batch_and_back():
    mask = MASKS["a hole"]
    rows, x = Varlen.of(mask), torch.randn(*mask.shape, 3)
    assert torch.equal(rows.pad(rows.unpad(x)), torch.where(mask.unsqueeze(2), x, 0.0))
    assert rows.has_next().tolist() == [True, True, False, True, True, False] + [True] * 5 + [False]
