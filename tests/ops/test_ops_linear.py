"""The dense products' kernel against torch's, its gradients included."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from speechseq.ops import linear
from speechseq.ops.cpp.library import library

pytestmark = pytest.mark.skipif(library("gemm") is None, reason="this machine has no kernels")


@pytest.fixture(autouse=True)
def _everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is used where it does not pay, too: it has to be right everywhere."""
    monkeypatch.setattr(linear, "_faster_than_torch", lambda: True)
    monkeypatch.setattr(linear, "_FEW", 1)


def results(function, x: Tensor, weight: Tensor, bias: Tensor | None) -> list[Tensor]:
    """The output and the gradients of all that is given."""
    given = [t.detach().requires_grad_() for t in (x, weight, bias) if t is not None]
    made = function(*given)
    (
        made * torch.cos(torch.arange(made.numel(), dtype=x.dtype)).reshape(made.shape)
    ).sum().backward()
    return [made.detach(), *(t.grad for t in given)]


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize(
    ("shape", "outputs"), [((1, 1), 1), ((3, 7, 5), 33), ((65, 1030), 40), ((2100, 30), 70)]
)
def test_output_and_gradients_agree_with_float64(shape, outputs, biased):
    x, weight = torch.randn(shape), torch.randn(outputs, shape[-1]) / shape[-1] ** 0.5
    bias = torch.randn(outputs) if biased else None
    doubles = [None if t is None else t.double() for t in (x, weight, bias)]
    made, true = results(linear.linear, x, weight, bias), results(F.linear, *doubles)
    for a, b in zip(made, true, strict=True):
        assert a.shape == b.shape
        assert float((a - b).abs().max()) <= 3e-6 * max(1.0, float(b.abs().max()))


def test_columns_of_wider_matrices_give_their_own_gradient():
    wide, broad = torch.randn(1500, 90), torch.randn(1500, 50)
    gradient, x = wide[:, 10:80], broad[:, 3:40]
    made = linear.weight_grad(gradient, x)
    true = gradient.double().t() @ x.double()
    assert float((made - true).abs().max() / true.abs().max()) < 2e-6


def test_neither_threads_nor_other_rows_change_a_bit():
    x, weight, bias = torch.randn(150, 1100), torch.randn(70, 1100), torch.randn(70)
    one = linear.linear(x, weight, bias)
    torch.set_num_threads(2)
    assert torch.equal(linear.linear(x, weight, bias), one)
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
