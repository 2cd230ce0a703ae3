"""Whole sequences in one call of a kernel: the same as torch's layers, step for step."""

import copy

import pytest
import torch
from torch import Tensor, nn

from speechseq.nn.cells import CELLS, SplitCell
from speechseq.nn.masks import length_mask, zero_padding
from speechseq.nn.recurrent import BiGRU, BiLSTM
from speechseq.ops import rnn
from speechseq.ops.cpp.library import library
from speechseq.ops.dropout import HIDDEN_KEPT

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


def errors(actual: list[Tensor], true: list[Tensor]) -> list[float]:
    """The largest, relative to the largest value where that exceeds 1."""
    pairs = zip(actual, true, strict=True)
    return [float((a.double() - b).abs().max() / b.abs().max().clamp(min=1)) for a, b in pairs]


@pytest.mark.parametrize("kind", LAYERS)
def test_bfloat16_stays_within_its_bounds(kind):
    """A weight has 8 bits: single values may be off by a percent, the whole by half of one."""
    layer, n = kind(40, 48), torch.tensor([30, 12, 25])
    x = torch.randn(3, 30, 40)
    with torch.autocast("cpu", torch.bfloat16):
        actual = gradients(lambda x: layer(x, n), layer, x)
    assert actual[0].dtype == torch.bfloat16
    layer.double()
    true = gradients(lambda x: layer.plain(x, n), layer, x.double())
    assert errors(actual[:1], true[:1])[0] < 0.02
    for a, b in zip(actual, true, strict=True):
        assert float((a.double() - b).norm() / b.norm()) < 0.015


@pytest.mark.parametrize("kind", LAYERS)
def test_threads_change_no_bit_in_bfloat16(kind):
    layer, n = kind(12, 70), torch.tensor([9, 17, 4])
    x = torch.randn(3, 17, 12)
    results = []
    for threads in (1, 2, 3, 5):
        torch.set_num_threads(threads)
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x, n)
        results.append(y.detach())
    assert all(torch.equal(results[0], y) for y in results)


@pytest.mark.parametrize("kind", LAYERS)
def test_backward_may_run_again_over_one_graph_and_its_last_pass_takes_no_room(kind, monkeypatch):
    layer, n, passes = kind(4, 20), torch.tensor([6, 3]), []
    loss = _weigh(layer(torch.randn(2, 6, 4), n))
    call = rnn.call
    monkeypatch.setattr(rnn, "call", lambda *a: (passes.append(a), call(*a)))
    each = [
        torch.autograd.grad(loss, list(layer.parameters()), retain_graph=again)
        for again in (True, True, False)
    ]
    assert all(torch.equal(a, b) for result in each for a, b in zip(result, each[0], strict=True))
    gates_reused = [
        arguments[2].data_ptr() in [x.data_ptr() for x in arguments[3:] if isinstance(x, Tensor)]
        for arguments in passes
    ]
    assert gates_reused == [False, False, True]


DROPOUTS = {
    "zoneout": ({"zoneout": 0.3}, True),
    "dropout": ({"dropout": 0.4}, True),
    "both": ({"zoneout": 0.3, "dropout": 0.4}, True),
    "zoneout in evaluation": ({"zoneout": 0.3, "dropout": 0.4}, False),
}
each_cell = pytest.mark.parametrize("kind", CELLS)


def cell_with(kind: str, sizes: tuple[int, int], dropout: str) -> SplitCell:
    numbers, training = DROPOUTS[dropout]
    return CELLS[kind](sizes[0], 0, sizes[1], **numbers).train(training)


def both_ways(cell: SplitCell, x: Tensor, n: Tensor, monkeypatch) -> list[list[Tensor]]:
    """Output and gradients by the kernel, and step by step in float64 with the same draws."""
    bits = cell.recurrent_dropout_bits(x.shape[1], len(x), "cpu")
    plain = copy.deepcopy(cell).double()
    monkeypatch.setattr(SplitCell, "recurrent_dropout_bits", lambda *_: bits)
    mask = length_mask(n, x.shape[1])
    true = gradients(lambda x: zero_padding(plain._step_by_step(x, bits), mask), plain, x.double())
    monkeypatch.setattr(SplitCell, "_step_by_step", None)  # it must be the kernel that runs
    return [gradients(lambda x: cell.run(x, n), cell, x), true]


@pytest.mark.parametrize("dropout", DROPOUTS)
@each_cell
@pytest.mark.parametrize(("input_dim", "hidden", "lengths"), SIZES)
def test_dropout_inside_the_recurrence_is_the_cells(
    kind, dropout, input_dim, hidden, lengths, monkeypatch
):
    cell = cell_with(kind, (input_dim, hidden), dropout)
    x, n = torch.randn(len(lengths), max(lengths) + 2, input_dim), torch.tensor(lengths)
    actual, true = both_ways(cell, x, n, monkeypatch)
    assert actual[0].dtype == torch.float32
    output, *rest = errors(actual, true)
    assert output < 1e-6
    assert max(rest) < 1e-5


@pytest.mark.parametrize("dropout", DROPOUTS)
@each_cell
def test_dropout_in_bfloat16_stays_within_the_same_bounds(kind, dropout, monkeypatch):
    cell, n = cell_with(kind, (40, 48), dropout), torch.tensor([30, 12, 25])
    with torch.autocast("cpu", torch.bfloat16):
        actual, true = both_ways(cell, torch.randn(3, 30, 40), n, monkeypatch)
    assert actual[0].dtype == torch.bfloat16
    assert errors(actual[:1], true[:1])[0] < 0.02
    for a, b in zip(actual, true, strict=True):
        assert float((a.double() - b).norm() / b.norm()) < 0.015


@each_cell
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_zoneout_hands_a_kept_state_on_bit_for_bit(kind, dtype, monkeypatch):
    cell, x = cell_with(kind, (6, 35), "zoneout"), torch.randn(2, 40, 6)
    bits = cell.recurrent_dropout_bits(40, 2, "cpu")
    monkeypatch.setattr(cell, "recurrent_dropout_bits", lambda *_: bits)
    with torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16):
        y = cell.run(x)
    kept = (bits & HIDDEN_KEPT).bool().transpose(0, 1)[:, 1:]
    same = y[:, 1:] == y[:, :-1]
    assert same[kept].all()
    assert same[~kept].float().mean() < 0.05  # bfloat16 has few bits to differ by


@each_cell
def test_dropout_keeps_a_byte_a_unit_for_the_backward_pass(kind):
    def kept(cell: SplitCell) -> int:
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x: sizes.append(x.nbytes) or x, lambda x: x
        ):
            cell.run(torch.randn(3, 9, 4))
        return sum(sizes)

    plain = kept(CELLS[kind](4, 0, 20).train())
    assert kept(cell_with(kind, (4, 20), "both")) - plain == 3 * 9 * 20
    assert kept(cell_with(kind, (4, 20), "zoneout in evaluation")) == plain


@each_cell
def test_threads_change_no_bit_of_a_zoned_run_and_its_gradients(kind, monkeypatch):
    cell, x, n = cell_with(kind, (5, 70), "both"), torch.randn(3, 17, 5), torch.tensor([9, 17, 4])
    bits, results = cell.recurrent_dropout_bits(17, 3, "cpu"), []
    monkeypatch.setattr(cell, "recurrent_dropout_bits", lambda *_: bits)
    for threads in (1, 2, 3, 5):
        torch.set_num_threads(threads)
        results.append(gradients(lambda x: cell.run(x, n), cell, x))
    for others in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))
