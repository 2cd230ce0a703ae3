"""The split cells are torch's own cells cut in two; run() is step() done at once."""

import pytest
import torch
from torch import Tensor, nn

from speechseq.nn.cells import CELLS, GRUState, LSTMState, SplitCell, SplitGRU, SplitLSTM

BATCH, STEPS, INPUT, CONTEXT, HIDDEN = 3, 6, 4, 5, 7
each_cell = pytest.mark.parametrize("kind", CELLS)


def torch_cell(cell: SplitCell) -> nn.LSTMCell | nn.GRUCell:
    """torch's cell over [inputs; context] with the same parameters, copied by name."""
    theirs = nn.LSTMCell if isinstance(cell, SplitLSTM) else nn.GRUCell
    reference = theirs(cell.input_dim + cell.context_dim, cell.hidden, dtype=cell.weight_ih.dtype)
    reference.load_state_dict(cell.state_dict())
    return reference


def steps(cell: SplitCell, inputs: Tensor, contexts: Tensor, drawn: Tensor | None = None) -> list:
    """Every state, the gates hoisted for all steps first."""
    state, weights, states = cell.start(len(inputs), inputs), cell.step_weights(), []
    all_bits = [None] * inputs.shape[1] if drawn is None else drawn.unbind()
    each = zip(cell.hoist(inputs).unbind(1), contexts.unbind(1), all_bits, strict=True)
    for gates, context, bits in each:
        state = cell(gates, context, state, weights, bits)
        states.append(state)
    return states


def gradients(cell: nn.Module, hidden: Tensor) -> list[Tensor]:
    weights = torch.cos(torch.arange(hidden.numel(), dtype=hidden.dtype)).reshape(hidden.shape)
    return list(torch.autograd.grad((hidden * weights).sum(), list(cell.parameters())))


@each_cell
@pytest.mark.parametrize("context", [0, CONTEXT])
def test_equals_torch_s_cell_with_context_concatenated(kind, context):
    cell = CELLS[kind](INPUT, context, HIDDEN).double()
    inputs = torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    contexts = torch.randn(BATCH, STEPS, context, dtype=torch.float64)
    ours = torch.stack([state.hidden for state in steps(cell, inputs, contexts)], 1)
    reference, memory, hidden = torch_cell(cell), None, []
    for x in torch.cat([inputs, contexts], -1).unbind(1):
        memory = reference(x, memory)
        hidden.append(memory[0] if kind == "lstm" else memory)
    theirs = torch.stack(hidden, 1)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for a, b in zip(gradients(cell, ours), gradients(reference, theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@each_cell
@pytest.mark.parametrize("zoneout", [0.0, 0.3])
def test_law_5_run_equals_steps(kind, zoneout):
    cell = CELLS[kind](INPUT, 0, HIDDEN, zoneout=zoneout).double().eval()
    inputs = torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    whole = cell.run(inputs)
    state, alone = cell.start(BATCH, inputs), []
    for x in inputs.unbind(1):
        state = cell.step(x, state)
        alone.append(state.hidden)
    torch.testing.assert_close(whole, torch.stack(alone, 1), rtol=1e-12, atol=1e-12)
    pairs = zip(gradients(cell, whole), gradients(cell, torch.stack(alone, 1)), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@each_cell
@pytest.mark.parametrize("kernels", [True, False])
def test_law_5_run_with_chance_in_training_draws_for_all_steps_at_once(kind, kernels, monkeypatch):
    cell = CELLS[kind](INPUT, 0, HIDDEN, zoneout=0.3, dropout=0.2).train()
    inputs = torch.randn(BATCH, STEPS, INPUT)
    if not kernels:
        monkeypatch.setattr("speechseq.ops.rnn.library", lambda name: None)
    torch.manual_seed(3)
    whole = cell.run(inputs)
    torch.manual_seed(3)
    stepwise = steps(
        cell, inputs, inputs[..., :0], cell.recurrent_dropout_bits(STEPS, BATCH, "cpu")
    )
    torch.testing.assert_close(whole, torch.stack([s.hidden for s in stepwise], 1))


def one_step(cell: SplitCell, state) -> tuple:
    inputs = torch.zeros(len(state.hidden), INPUT)
    return cell(cell.hoist(inputs), inputs[:, :0], state, cell.step_weights())


def remembered(kind: str, batch: int) -> LSTMState | GRUState:
    """A state whose values no new step can reach: beyond the hidden state's bounds."""
    hidden, cell = torch.full((batch, HIDDEN), 5.0), torch.full((batch, HIDDEN), 9.0)
    return LSTMState(hidden, cell) if kind == "lstm" else GRUState(hidden)


@each_cell
def test_zoneout_in_evaluation_is_the_expectation(kind):
    cell = CELLS[kind](INPUT, 0, HIDDEN, zoneout=0.25).eval()
    state = remembered(kind, 2)
    zoned = one_step(cell, state)
    cell.zoneout = 0.0
    for output, old, new in zip(zoned, state, one_step(cell, state), strict=True):
        torch.testing.assert_close(output, 0.25 * old + 0.75 * new)


@each_cell
def test_zoneout_in_training_keeps_units_as_often_as_told(kind):
    cell = CELLS[kind](INPUT, 0, HIDDEN, zoneout=0.25).train()
    state = remembered(kind, 4000)
    zoned = one_step(cell, state)
    cell.zoneout = 0.0
    kept = []
    for output, old, new in zip(zoned, state, one_step(cell, state), strict=True):
        assert torch.equal(
            torch.where(output == old, old, new), output
        )  # kept or new, never between
        kept.append(output == old)
        assert abs(float(kept[-1].float().mean()) - 0.25) < 0.015  # 28,000 draws: 5.8 sigma
    if kind == "lstm":  # hidden and cell are kept independently of each other
        assert abs(float((kept[0] & kept[1]).float().mean()) - 0.0625) < 0.01


@each_cell
def test_dropout_of_the_hidden_state_is_fed_back_and_only_in_training(kind):
    cell = CELLS[kind](INPUT, 0, HIDDEN, dropout=0.5)
    inputs = torch.randn(BATCH, STEPS, INPUT)
    dropped = cell.train().run(inputs)
    assert 0.3 < float((dropped == 0).float().mean()) < 0.7
    cell.eval()
    torch.testing.assert_close(
        cell.run(inputs),
        torch.stack([s.hidden for s in steps(cell, inputs, inputs[..., :0])], 1),
    )


@pytest.mark.parametrize("numbers", [{}, {"zoneout": 0.3}], ids=["in one call", "step by step"])
@each_cell
def test_a_run_ends_each_row_with_its_own_last_step(kind, numbers):
    cell, lengths = CELLS[kind](INPUT, 0, HIDDEN, **numbers).eval(), torch.tensor([STEPS, 1])
    inputs = torch.randn(2, STEPS, INPUT)
    whole, ended = cell.run(inputs), cell.run(inputs, lengths)
    torch.testing.assert_close(ended[0], whole[0])
    torch.testing.assert_close(ended[1, :1], whole[1, :1])
    assert not ended[1, 1:].any()


def test_a_cell_without_context_copies_no_weights_at_a_step():
    for cell in (SplitLSTM(INPUT, 0, HIDDEN), SplitGRU(INPUT, 0, HIDDEN)):
        product = cell.step_weights()[-1]
        assert product.buffer.weight.data_ptr() == cell.weight_hh.data_ptr()
