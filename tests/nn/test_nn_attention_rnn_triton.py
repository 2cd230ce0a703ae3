"""The attention RNN in Triton, interpreted on a CPU, equals its plain steps."""

import pytest
import torch
from torch import Tensor
from triton_without_gpu import interpret

from speechseq.nn import attention_rnn_fast
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.contract import AttentionConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.nn.attention_rnn import AttentionRNN
from speechseq.nn.cells import CELLS
from speechseq.nn.masks import length_mask
from speechseq.ops.attention_rnn import cpp, triton, triton_backward, triton_common, triton_forward
from speechseq.ops.triton import launch

BATCH, STEPS, POSITIONS, INPUT, MEMORY = 2, 3, 10, 5, 36
LENGTHS = torch.tensor([10, 4])
ATTENTIONS: dict[str, AttentionConfig] = {
    "location": LocationSensitiveConfig(dim=9, filters=4, kernel=9),
    "previous": LocationSensitiveConfig(
        dim=16, filters=3, kernel=3, history="previous", reading=ReadingConfig(first="one_hot")
    ),
    "detached": LocationSensitiveConfig(
        dim=7, filters=4, kernel=5, reading=ReadingConfig(through_previous=False, sharpening=2.0)
    ),
    "content": ContentConfig(dim=8),
}


@pytest.fixture(autouse=True)
def _many_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several of each kernel, and several chunks of what one sums up, at these small sizes."""
    monkeypatch.setattr(triton_common, "UNITS", 4)
    for room in (triton_forward, triton_backward):
        monkeypatch.setattr(room, "COLUMNS", 4)


def loop_of(kind: str, attention: str, layers: int = 1, **rates: float) -> AttentionRNN:
    widths = [MEMORY, *[7] * (layers - 1)]
    cells = [CELLS[kind](0 if i else INPUT, width, 7, **rates) for i, width in enumerate(widths)]
    return AttentionRNN(cells[0], ATTENTIONS[attention].build(7, MEMORY), cells[1:]).train()


def made_of(
    loop: AttentionRNN,
    ours: bool,
    used: tuple[bool, ...] = (True,) * 3,
    dtype: torch.dtype = torch.float32,
    backwards: bool = False,
    steps: int = STEPS,
) -> list[Tensor]:
    """Outputs and all gradients of a random sum of those that are used."""
    torch.manual_seed(0)
    inputs = torch.randn(BATCH, steps, INPUT, requires_grad=True)
    memory = torch.randn(BATCH, POSITIONS, MEMORY, requires_grad=True)
    mask, lengths = length_mask(LENGTHS, POSITIONS), torch.tensor([steps, steps - 1])
    drawn = [cell.recurrent_dropout_bits(steps, BATCH, inputs.device) for cell in loop.cells]
    if ours:
        with pytest.MonkeyPatch.context() as patch:
            interpret(patch, backwards)
            given = inputs, memory, mask, lengths, drawn
            outputs = attention_rnn_fast._run(triton.run, loop.cells, loop.attention, dtype, *given)
            return _with_gradients(list(outputs), loop, inputs, memory, used)
    outputs = loop.step_by_step(inputs, memory, mask, lengths, drawn)
    return _with_gradients(list(outputs), loop, inputs, memory, used)


def _with_gradients(
    outputs: list[Tensor],
    loop: AttentionRNN,
    inputs: Tensor,
    memory: Tensor,
    used: tuple[bool, ...],
) -> list[Tensor]:
    torch.manual_seed(1)
    total = sum(
        (x * torch.randn(x.shape)).sum() for x, use in zip(outputs, used, strict=True) if use
    )
    sought = [inputs, memory, *loop.parameters()]
    found = torch.autograd.grad(total, sought, allow_unused=True)
    return [*outputs, *(torch.zeros(1) if x is None else x for x in found)]


def check(ours: list[Tensor], expected: list[Tensor], tolerance: float = 1e-5) -> None:
    """Gradients may be ten times as far off."""
    for i, (a, b) in enumerate(zip(ours, expected, strict=True)):
        within = tolerance if i < 3 else 10 * tolerance
        torch.testing.assert_close(a.float(), b, rtol=within, atol=within)


def check_near(ours: list[Tensor], expected: list[Tensor], bound: float) -> None:
    """Compare by norms: entries of a gradient that nearly cancel have large relative errors."""
    for a, b in zip(ours, expected, strict=True):
        assert (a.float() - b).norm() <= bound * b.norm()


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_both_passes_make_what_single_steps_make(kind, attention):
    loop = loop_of(kind, attention)
    check(made_of(loop, True), made_of(loop, False))


@pytest.mark.parametrize("kind", CELLS)
def test_so_they_do_for_several_layers_with_dropout_and_zoneout(kind):
    loop = loop_of(kind, "location", layers=3, zoneout=0.4, dropout=0.3)
    check(made_of(loop, True), made_of(loop, False))
    loop.eval()  # the expectation in the place of what is drawn
    check(made_of(loop, True), made_of(loop, False))


@pytest.mark.parametrize("used", [(True, False, False), (False, True, False), (False, False, True)])
def test_an_output_that_nobody_uses_has_no_gradient(used):
    loop = loop_of("lstm", "location")
    check(made_of(loop, True, used, steps=2), made_of(loop, False, used, steps=2))


@pytest.mark.parametrize("kind", CELLS)
def test_bfloat16_stays_near_float32(kind):
    loop = loop_of(kind, "location", layers=2)
    check_near(made_of(loop, True, dtype=torch.bfloat16), made_of(loop, False), 4e-2)


def test_the_order_of_a_launch_s_programs_changes_no_bit():
    loop = loop_of("lstm", "location", layers=2, dropout=0.3)
    results = [made_of(loop, True, backwards=way, steps=2) for way in (False, True)]
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("kind", "half"), [("lstm", False), ("gru", True)])
def test_a_loop_runs_by_it_from_graphs(kind, half, monkeypatch):
    loop = loop_of(kind, "location")
    inputs, memory = torch.randn(BATCH, STEPS, INPUT), torch.randn(BATCH, POSITIONS, MEMORY)
    mask = length_mask(LENGTHS, POSITIONS)

    def run() -> list[Tensor]:
        leaf = inputs.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            output = loop(leaf, memory, mask, torch.tensor([STEPS, 2]))
        total = sum(x.float().square().sum() for x in output)
        return [
            *(x.float() for x in output),
            *torch.autograd.grad(total, [leaf, *loop.parameters()]),
        ]

    monkeypatch.setattr(cpp, "supported", lambda *_: False)
    monkeypatch.setattr(attention_rnn_fast, "BUCKET_STEPS", 4)
    monkeypatch.setattr(attention_rnn_fast, "BUCKET_POSITIONS", 4)
    expected = run()
    monkeypatch.setenv("SPEECHSEQ_CUDA_GRAPHS", "rehearse")
    monkeypatch.setattr(launch, "KIND", "cpu")
    monkeypatch.setattr(loop, "step_by_step", lambda *_: pytest.fail("torch ran"))
    launch._launches.cache_clear()
    interpret(monkeypatch)
    for _ in range(2):  # as it is, and recorded
        check_near(run(), expected, 2e-2 if half else 1e-5)
    launch._launches.cache_clear()
