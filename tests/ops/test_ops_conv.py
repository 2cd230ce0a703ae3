"""Convolutions over valid rows against torch's over each utterance by itself."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from speechseq.nn.masks import length_mask
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


def alone(x: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Each utterance up to its last valid position, its holes zero, in torch's convolution."""
    kernel, made = weight.shape[2], []
    for item, valid in zip(x, mask, strict=True):
        own = torch.where(valid.unsqueeze(1), item, 0.0)[: int(valid.nonzero().max()) + 1]
        padded = F.pad(own.t().unsqueeze(0), ((kernel - 1) // 2, kernel // 2))
        made.append(F.conv1d(padded, weight, bias)[0].t()[valid[: len(own)]])
    return torch.cat(made)


def gradients(made: Tensor, given: list[Tensor]) -> list[Tensor]:
    """The output, and what a loss that tells all outputs apart gives to what was given."""
    weights = torch.cos(torch.arange(made.numel(), dtype=made.dtype)).view_as(made)
    return [made.detach(), *torch.autograd.grad((made * weights).sum(), given)]


def with_hole(mask: Tensor) -> Tensor:
    mask[0, 3] = False
    return mask


MASKS = {
    "lengths": length_mask(torch.tensor([9, 1, 4]), 9),
    "nothing padded": length_mask(torch.tensor([5, 5]), 5),
    "padded to more than the longest": length_mask(torch.tensor([2, 3]), 8),
    "a hole": with_hole(length_mask(torch.tensor([7, 6]), 9)),
}


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("biased", [True, False])
def test_output_and_gradients_agree_with_each_utterance_alone(name, kernel, biased):
    mask, inputs, outputs = MASKS[name], 6, 37
    x = torch.randn(*mask.shape, inputs).masked_fill(~mask.unsqueeze(2), torch.nan)
    weight = torch.randn(outputs, inputs, kernel) / (inputs * kernel) ** 0.5
    bias = torch.randn(outputs) if biased else None
    given = [t.clone().requires_grad_() for t in (x, weight, bias) if t is not None]
    doubles = [t.detach().double().requires_grad_() for t in given]
    rows = Varlen.of(mask)
    made = convolve(rows.unpad(given[0]), rows, given[1], given[2] if biased else None)
    true = alone(doubles[0], mask, doubles[1], doubles[2] if biased else None)
    for a, b in zip(gradients(made, given), gradients(true, doubles), strict=True):
        assert a.shape == b.shape
        assert float((a - b).abs().max()) <= 3e-6 * max(1.0, float(b.abs().max()))


@pytest.mark.usefixtures("_way")
def test_a_gradient_that_nobody_asks_for_is_not_made():
    x, weight = torch.randn(10, 4), torch.randn(5, 4, 3, requires_grad=True)
    convolve(x, Varlen.of(MASKS["nothing padded"]), weight, None).sum().backward()
    assert x.grad is None
    assert weight.grad is not None


def test_neither_threads_nor_other_utterances_change_a_bit(monkeypatch):
    if library("gemm") is None:
        pytest.skip("this machine has no kernels")
    monkeypatch.setattr(linear, "_faster_than_torch", lambda: True)
    x, weight = torch.randn(3, 90, 20), torch.randn(40, 20, 5)
    rows = Varlen.of(length_mask(torch.tensor([90, 11, 70]), 90))
    together = rows.pad(convolve(rows.unpad(x), rows, weight, None))
    torch.set_num_threads(2)
    assert torch.equal(rows.pad(convolve(rows.unpad(x), rows, weight, None)), together)
    own = Varlen.of(torch.ones(1, 70, dtype=torch.bool))
    assert torch.equal(convolve(x[2, :70], own, weight, None), together[2, :70])


def test_rows_go_to_a_batch_and_back():
    mask = MASKS["a hole"]
    rows, x = Varlen.of(mask), torch.randn(*mask.shape, 3)
    assert torch.equal(rows.pad(rows.unpad(x)), torch.where(mask.unsqueeze(2), x, 0.0))
    assert rows.has_next().tolist() == [True, True, False, True, True, False] + [True] * 5 + [False]
