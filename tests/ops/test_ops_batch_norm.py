"""Batch norm's kernel at its numerical limits; test_ops_contract.py has its formula."""

import pytest
import torch

from speechseq.nn.conv import MaskedBatchNorm
from speechseq.ops.batch_norm import KERNELS
from speechseq.ops.cpp.library import library

pytestmark = pytest.mark.skipif(library(KERNELS) is None, reason="this machine has no kernels")

SIZES = [(2, 3), (129, 37), (300, 128)]


def a_norm(channels: int) -> MaskedBatchNorm:
    norm = MaskedBatchNorm(channels)
    for parameter in norm.parameters():
        parameter.data.uniform_(-0.5, 1.5)
    return norm


def test_a_channel_of_one_value_and_a_tie_in_relu_stay_finite():
    norm, x = a_norm(3), torch.full((200, 3), 7.0, requires_grad=True)
    output = norm.of_rows(x, "relu", True)
    output.sum().backward()
    assert torch.isfinite(output).all()
    assert torch.isfinite(x.grad).all()


def test_a_far_mean_does_not_swallow_the_variance():
    x = torch.randn(5000, 2, dtype=torch.float64) + 1e4
    norm = MaskedBatchNorm(2)
    norm.of_rows(x.float())
    true = x.float().double().var(0)
    assert float((norm.running_var.double() - (0.9 + 0.1 * true)).abs().max()) < 1e-4
