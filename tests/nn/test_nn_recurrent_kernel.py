"""Whole sequences in one call of a kernel: the same as torch's layers, step for step."""

import math

import pytest
import torch
from padding_law import Part, Stream, assert_same_results, joined, make_items, run
from torch import Tensor, nn

from speechseq.native.library import library
from speechseq.nn.recurrent import BiGRU, BiLSTM

pytestmark = pytest.mark.skipif(library("lstm") is None, reason="this machine has no kernels")
LAYERS = [BiLSTM, BiGRU]
SIZES = [(3, 5, (7,)), (20, 33, (5, 9, 1, 9, 33)), (7, 64, (4, 4)), (9, 100, tuple(range(1, 21)))]


def gradients(call, layer: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, and the gradients of the input and of all parameters, in order."""
    x = x.detach().requires_grad_()
    layer.zero_grad()
    y = call(x)
    _weigh(y).backward()
    return [y.detach(), x.grad, *(p.grad.clone() for p in layer.parameters())]


def _weigh(y: Tensor) -> Tensor:
    return (y.double() * torch.cos(torch.arange(y.numel()).double()).reshape(y.shape)).sum()


def errors(made: list[Tensor], true: list[Tensor]) -> list[float]:
    """The largest, relative to the largest value where that exceeds 1."""
    pairs = zip(made, true, strict=True)
    return [float((a.double() - b).abs().max() / b.abs().max().clamp(min=1)) for a, b in pairs]


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(("input_dim", "hidden", "lengths"), SIZES)
def test_output_and_every_gradient_agree_with_torch_in_float64(kind, input_dim, hidden, lengths):
    layer, n = kind(input_dim, hidden), torch.tensor(lengths)
    x = torch.randn(len(n), max(lengths) + 2, input_dim)
    made = gradients(lambda x: layer(x, n), layer, x)
    assert made[0].dtype == torch.float32
    layer.double()
    true = gradients(lambda x: layer.plain(x, n), layer, x.double())
    output, *rest = errors(made, true)
    assert output < 1e-6
    assert max(rest) < 1e-5


@pytest.mark.parametrize("kind", LAYERS)
def test_bfloat16_stays_within_its_bounds(kind):
    """A weight has 8 bits: single values may be off by a percent, the whole by half of one."""
    layer, n = kind(40, 48), torch.tensor([30, 12, 25])
    x = torch.randn(3, 30, 40)
    with torch.autocast("cpu", torch.bfloat16):
        made = gradients(lambda x: layer(x, n), layer, x)
    assert made[0].dtype == torch.bfloat16
    layer.double()
    true = gradients(lambda x: layer.plain(x, n), layer, x.double())
    assert errors(made[:1], true[:1])[0] < 0.02
    for a, b in zip(made, true, strict=True):
        assert float((a.double() - b).norm() / b.norm()) < 0.015


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("garbage", [1e4, math.nan])
def test_law_1_padding_changes_nothing_gradients_included(kind, garbage):
    lengths = tuple(range(1, 34, 4))
    part = Part(
        name="recurrent",
        build=lambda: kind(5, 6),
        streams={"x": Stream(5, lengths)},
        call=lambda layer, inputs, n: [(layer(inputs["x"], n["x"]), n["x"])],
    )
    layer, items = part.build(), make_items(part, torch.float32)
    alone = joined([run(part, layer, [item], 0, 0.0) for item in items])
    assert_same_results(run(part, layer, items, 3, garbage), alone)


@pytest.mark.parametrize("kind", LAYERS)
def test_padding_comes_out_as_zeros_and_takes_no_gradient(kind):
    layer, n = kind(5, 6), torch.tensor([2, 6, 0])
    x = torch.full((3, 6, 5), math.nan)
    for row, length in enumerate(n.tolist()):
        x[row, :length] = torch.randn(length, 5)
    y, below, *parameters = gradients(lambda x: layer(x, n), layer, x)
    assert not y[0, 2:].any()
    assert not y[2].any()
    assert not below[0, 2:].any()
    assert not below[2].any()
    assert all(p.isfinite().all() for p in parameters)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_threads_change_no_bit(kind, dtype):
    layer, n = kind(12, 70), torch.tensor([9, 17, 4])
    x = torch.randn(3, 17, 12)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        with torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16):
            y = layer(x, n)
        results.append(y.detach())
    assert torch.equal(*results)


@pytest.mark.parametrize("kind", LAYERS)
def test_backward_may_run_again_over_one_graph(kind):
    layer, n = kind(4, 20), torch.tensor([6, 3])
    loss = _weigh(layer(torch.randn(2, 6, 4), n))
    first, second = (
        torch.autograd.grad(loss, list(layer.parameters()), retain_graph=True) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("kind", LAYERS)
def test_float64_and_a_machine_without_kernels_take_torch_s_path(kind, monkeypatch):
    layer, n = kind(4, 5), torch.tensor([6, 3])
    x = torch.randn(2, 6, 4)
    with_kernel = layer(x, n)
    monkeypatch.setattr("speechseq.nn.recurrent_kernel.library", lambda name: None)
    monkeypatch.setattr("speechseq.nn.recurrent_kernel.call", None)
    torch.testing.assert_close(layer(x, n), with_kernel)
    monkeypatch.undo()
    monkeypatch.setattr("speechseq.nn.recurrent_kernel.call", None)
    assert layer.double()(x.double(), n).dtype == torch.float64
