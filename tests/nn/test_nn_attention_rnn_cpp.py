"""The attention RNN in C++ equals its plain steps, gradients of everything included."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor

from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.contract import AttentionConfig
from speechseq.nn.attention.dot import DotConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.nn.attention_rnn import AttentionRNN, AttentionRNNOutput
from speechseq.nn.attention_rnn_fast import choose
from speechseq.nn.cells import CELLS
from speechseq.nn.masks import length_mask
from speechseq.ops.attention_rnn import cpp
from speechseq.ops.cpp.library import library

pytestmark = pytest.mark.skipif(library(cpp.NAME) is None, reason="no kernels on this machine")

INPUT, MEMORY, HIDDEN = 7, 10, 20  # no whole multiples of a register's floats
BOTH = LocationSensitiveConfig(dim=12, filters=5, kernel=5)
MECHANISMS = {
    "content": ContentConfig(dim=12),
    "both histories": BOTH,
    "previous weights": LocationSensitiveConfig(dim=40, filters=40, kernel=31, history="previous"),
    "detached, sharpened": LocationSensitiveConfig(
        dim=16,
        filters=3,
        kernel=3,
        reading=ReadingConfig(through_previous=False, sharpening=2.0, first="one_hot"),
    ),
    "from uniform weights": LocationSensitiveConfig(
        dim=32, filters=16, kernel=9, reading=ReadingConfig(first="uniform")
    ),
}
DROPOUTS: dict[str, dict[str, float]] = {
    "plain": {},
    "dropout": {"dropout": 0.3},
    "zoneout": {"zoneout": 0.3},
    "both": {"dropout": 0.2, "zoneout": 0.4},
}


def chosen(core: AttentionRNN, inputs: Tensor, memory: Tensor, mask: Tensor) -> Callable:
    """Return the function that `forward` calls for these inputs."""
    return choose(core, core.cells, core.attention, core.step_by_step, inputs, memory, mask)


class Case:
    """A loop, and what it is fed: NaN in the memory's padding."""

    def __init__(
        self,
        cells: str = "lstm",
        mechanism: AttentionConfig = BOTH,
        dropout: str = "plain",
        *,
        lengths: Sequence[int] = (6, 9, 1),
        steps: int = 5,
        hidden: int = HIDDEN,
        even: bool = False,
    ) -> None:
        torch.manual_seed(0)
        rates = DROPOUTS[dropout]
        first, *upper = [CELLS[kind] for kind in cells.split()]
        self.core = AttentionRNN(
            first(INPUT, MEMORY, hidden, **rates),
            mechanism.build(hidden, MEMORY),
            [kind(0, hidden, hidden, **rates) for kind in upper],
        )
        self.inputs = torch.randn(len(lengths), steps, INPUT)
        self.mask = length_mask(torch.tensor(lengths), max(lengths))
        self.steps = torch.tensor([steps if even else 1 + 3 * i % steps for i in lengths])
        self.memory = torch.randn(*self.mask.shape, MEMORY)
        self.memory[~self.mask] = math.nan

    def run(self, kernel: bool, double: bool = False) -> tuple[AttentionRNNOutput, list[Tensor]]:
        """Return all outputs, and the differentiable ones; the same draws every time."""
        kind = torch.float64 if double else torch.float32
        core = self.core.to(kind)
        leaves = [x.to(kind, copy=True).requires_grad_() for x in (self.inputs, self.memory)]
        torch.manual_seed(7)
        drawn = [
            cell.recurrent_dropout_bits(self.inputs.shape[1], len(self.mask), "cpu")
            for cell in core.cells
        ]
        if kernel:
            run = chosen(core, *leaves, self.mask)
            assert run != core.step_by_step
            out = AttentionRNNOutput(*run(*leaves, self.mask, self.steps, drawn))
        else:
            out = core.step_by_step(*leaves, self.mask, self.steps, drawn)
        behind = ~length_mask(self.steps, self.inputs.shape[1])
        assert not any(bool(x[behind].any()) for x in out)
        return out, [*leaves, *core.parameters()]


def gradients(
    out: AttentionRNNOutput, leaves: list[Tensor], parts: Sequence[int] = (0, 1, 2)
) -> list:
    """Gradients of a sum that weighs every number of the outputs differently."""
    loss = 0.0
    for i in parts:
        weights = torch.randn(out[i].shape, generator=torch.Generator().manual_seed(i))
        loss = loss + (out[i] * weights).sum() * (5 if i == 2 else 1)
    return list(torch.autograd.grad(loss, leaves, retain_graph=True, materialize_grads=True))


def assert_same(case: Case, parts: Sequence[int] = (0, 1, 2)) -> None:
    output, leaves = case.run(kernel=True)
    grads = gradients(output, leaves, parts)
    plain, leaves = case.run(kernel=False, double=True)
    for a, b in zip(output, plain, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=0, atol=1e-5)
    for a, b in zip(grads, gradients(plain, leaves, parts), strict=True):
        scale = max(1.0, float(b.abs().max()))
        torch.testing.assert_close(a.double(), b, rtol=0, atol=1e-4 * scale)


def assert_distributions(case: Case, alignment: Tensor) -> None:
    taken = length_mask(case.steps, alignment.shape[1])
    torch.testing.assert_close(alignment.sum(2), taken.float())
    assert bool((alignment >= 0).all())
    assert not bool(alignment.masked_select(~case.mask.unsqueeze(1)).any())


@pytest.mark.parametrize("dropout", DROPOUTS)
@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("cells", ["lstm", "gru", "lstm lstm", "gru lstm gru"])
@pytest.mark.parametrize("training", [True, False])
def test_equals_the_plain_steps_in_double_precision(cells, mechanism, dropout, training):
    case = Case(cells, MECHANISMS[mechanism], dropout)
    case.core.train(training)
    assert_same(case)


@pytest.mark.parametrize("lengths", [(1,), (40,), (3, 17, 17), range(1, 18)], ids=str)
@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("hidden", [16, 33])
def test_any_batch_and_any_number_of_steps_and_positions(lengths, steps, hidden):
    assert_same(Case("lstm gru", lengths=lengths, steps=steps, hidden=hidden))


def test_rows_of_equal_lengths_take_all_steps():
    case = Case("lstm gru", even=True)
    assert_same(case)
    with torch.no_grad():
        parts = case.inputs, case.memory, case.mask
        whole = case.core.float()(*parts)
        told = case.core(*parts, case.steps)
    for a, b in zip(whole, told, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("parts", [(0,), (1,), (2,)], ids=["hidden", "context", "alignment"])
def test_each_output_alone_may_be_asked_for_its_gradient(parts):
    assert_same(Case("lstm lstm"), parts)


@pytest.mark.parametrize("cells", ["lstm", "gru lstm"])
def test_law_1_nothing_that_stands_in_the_padding_is_read(cells):
    results = []
    for garbage in (0.0, 1e4, math.nan):
        case = Case(cells)
        case.memory[~case.mask] = garbage
        case.inputs[~length_mask(case.steps, case.inputs.shape[1])] = garbage
        out, leaves = case.run(kernel=True)
        results.append([*out, *gradients(out, leaves)])
    for clean, huge, nan in zip(*results, strict=True):
        assert torch.equal(clean, huge)
        assert torch.equal(clean, nan)


@pytest.mark.parametrize(("lengths", "steps"), [((9, 4, 7, 2, 5), 5), ((3,), 1), ((6, 40, 1), 30)])
@pytest.mark.parametrize("mechanism", ["content", "both histories"])
@pytest.mark.parametrize("cells", ["lstm", "gru lstm"])
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_the_kernel_s_threads_change_no_bit(cells, mechanism, lengths, steps, half, monkeypatch):
    def call_on(threads, *arguments):
        torch.set_num_threads(threads)
        call(*arguments)
        torch.set_num_threads(1)

    call, results = cpp.call, []
    case = Case(cells, MECHANISMS[mechanism], "both", lengths=lengths, steps=steps)
    for threads in (1, 2, 3, 5, 2):
        monkeypatch.setattr(cpp, "call", partial(call_on, threads))
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out, leaves = case.run(kernel=True)
            results.append([*out, *gradients(out, leaves)])
    for others in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))


@pytest.mark.parametrize("cells", ["lstm", "gru lstm"])
def test_neighbours_change_nothing(cells):
    case = Case(cells, lengths=(9, 4, 7, 2, 5))
    together = case.run(kernel=True)[0]
    for name in ("inputs", "memory", "mask", "steps"):
        setattr(case, name, getattr(case, name)[1:2])
    for a, b in zip(together, case.run(kernel=True)[0], strict=True):
        torch.testing.assert_close(a[1:2], b, rtol=0, atol=1e-6)


def test_a_graph_may_be_walked_twice():
    output, leaves = Case("lstm gru", dropout="both").run(kernel=True)
    for a, b in zip(gradients(output, leaves), gradients(output, leaves), strict=True):
        assert torch.equal(a, b)


def test_nothing_of_a_graph_stays_where_none_is_wanted():
    case = Case()
    with torch.no_grad():
        output = case.run(kernel=True)[0]
    assert not any(x.requires_grad for x in output)
    for a, b in zip(output, case.run(kernel=True)[0], strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("cells", ["lstm", "gru"])
@pytest.mark.parametrize("mechanism", ["content", "both histories"])
def test_extreme_inputs_stay_finite(cells, mechanism):
    case = Case(cells, MECHANISMS[mechanism])
    case.inputs, case.memory = case.inputs * 1e4, case.memory * 1e4
    output, leaves = case.run(kernel=True)
    assert all(bool(x.isfinite().all()) for x in (*output, *gradients(output, leaves)))
    assert_distributions(case, output.alignment)


@pytest.mark.parametrize("cells", ["lstm", "gru", "lstm lstm"])
@pytest.mark.parametrize("mechanism", ["content", "both histories"])
def test_bfloat16_stays_near_and_weights_keep_their_precision(cells, mechanism):
    case = Case(cells, MECHANISMS[mechanism], "both")
    exact, leaves = case.run(kernel=False)
    wanted = gradients(exact, leaves)
    with torch.autocast("cpu", torch.bfloat16):
        output, leaves = case.run(kernel=True)
        found = gradients(output, leaves)
    assert output.hidden.dtype == torch.bfloat16
    assert output.alignment.dtype == torch.float32
    for a, b in zip(output, exact, strict=True):
        torch.testing.assert_close(a.float(), b, rtol=0, atol=0.02)
    assert_distributions(case, output.alignment)
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        assert float((a - b).norm()) <= 0.05 * float(b.norm()) + 1e-3


def supported(case: Case) -> bool:
    return chosen(case.core, case.inputs, case.memory, case.mask) != case.core.step_by_step


def test_what_it_does_not_know_goes_step_by_step():
    assert supported(Case())
    for reading in ({"window": 3}, {"keep_top": 2}, {"smoothing": True}):
        assert not supported(Case(mechanism=ContentConfig(reading=ReadingConfig(**reading))))
    assert not supported(Case(mechanism=DotConfig()))
    gaps, double = Case(), Case()
    gaps.mask[0, 2] = False
    assert not supported(gaps)
    double.core.double()
    assert not supported(double)
    with torch.autocast("cpu", torch.float16):
        assert not supported(Case())


@pytest.mark.parametrize("dropout", DROPOUTS)
def test_one_seed_draws_the_same_both_ways(dropout, monkeypatch):
    case = Case("gru lstm", dropout=dropout)
    both = []
    for kernel in (True, False):
        monkeypatch.setattr(cpp, "supported", lambda *_, answer=kernel: answer)
        torch.manual_seed(3)
        both.append((case.core(case.inputs, case.memory, case.mask, case.steps), torch.rand(1)))
    (output, after), (plain, then) = both
    for a, b in zip(output, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    assert torch.equal(after, then)


def test_backward_may_run_again_and_its_last_pass_stands_in_the_gates_room(monkeypatch):
    output, leaves = Case("lstm gru").run(kernel=True)
    loss = sum((x * torch.randn_like(x)).sum() for x in output)
    same: list[bool] = []

    def spy(*given):
        same.extend(a is b for a, b in zip(given[-2].gates, given[-1].gates, strict=True))
        return call(*given)

    call = cpp._call
    monkeypatch.setattr(cpp, "_call", spy)
    each = [torch.autograd.grad(loss, leaves, retain_graph=again) for again in (True, True, False)]
    assert all(torch.equal(a, b) for grads in each for a, b in zip(grads, each[0], strict=True))
    assert same == [False, False, False, False, True, True]
