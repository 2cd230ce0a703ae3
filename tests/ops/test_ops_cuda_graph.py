"""Loops from emulated CUDA graphs: the same numbers, and nothing in them that no graph can hold.

Each signature is called three times: uncaptured, captured, and replayed.
"""

import copy
import gc
import math
import weakref

import pytest
import torch
from capturable import Captured
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.contract import AttentionConfig
from speechseq.nn.attention.dot import DotConfig
from speechseq.nn.attention.dynamic_convolution import DynamicConvolutionConfig
from speechseq.nn.attention.forward import ForwardConfig
from speechseq.nn.attention.gmm import GMMConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention.multi_head import MultiHeadConfig
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.nn.attention.stepwise_monotonic import StepwiseMonotonicConfig
from speechseq.nn.attention_rnn import AttentionRNN, AttentionRNNOutput
from speechseq.nn.cells import SplitGRU, SplitLSTM
from speechseq.nn.masks import length_mask
from speechseq.ops.cuda_capture import Recorder, Recording
from speechseq.ops.cuda_graph import GraphCache, graph_cache

CPU = torch.device("cpu")
INPUT, MEMORY, HIDDEN, BUCKET = 3, 6, 8, 12
CHOOSY = ReadingConfig(window=3, keep_top=2, smoothing=True, sharpening=2.0, first="uniform")
MECHANISMS: dict[str, AttentionConfig] = {
    "location": LocationSensitiveConfig(dim=8, filters=3, kernel=5),
    "content": ContentConfig(dim=8),
    "dot": DotConfig(dim=8),
    "heads": MultiHeadConfig(),
    "gmm": GMMConfig(dim=8),
    "convolution": DynamicConvolutionConfig(dim=8),
    "forward": ForwardConfig(dim=8, transition_agent=True),
    "stepwise": StepwiseMonotonicConfig(dim=8, noise=0.0),
    "choosy": LocationSensitiveConfig(dim=8, filters=3, kernel=5, reading=CHOOSY),
    "from the first": ContentConfig(dim=8, reading=ReadingConfig(first="one_hot")),
}
each_mechanism = pytest.mark.parametrize("mechanism", MECHANISMS)


def loop_of(mechanism: str = "location", **rates: float) -> AttentionRNN:
    """An LSTM below a GRU."""
    upper = [SplitGRU(0, HIDDEN, HIDDEN, **rates)]
    attention = MECHANISMS[mechanism].build(HIDDEN, MEMORY)
    return AttentionRNN(SplitLSTM(INPUT, MEMORY, HIDDEN, **rates), attention, upper)


class Fed:
    """Rows of these steps and positions, NaN in the memory's padding."""

    def __init__(self, steps: list[int], positions: list[int], seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.steps, self.seed = torch.tensor(steps), seed
        self.mask = length_mask(torch.tensor(positions), max(positions))
        self.inputs = torch.randn(len(steps), max(steps), INPUT, requires_grad=True)
        self.memory = torch.randn(*self.mask.shape, MEMORY)
        self.memory[~self.mask] = math.nan
        self.memory.requires_grad_()

    def through(self, loop: AttentionRNN) -> tuple[AttentionRNNOutput, list[Tensor]]:
        """Return outputs and the gradients of everything; dropout is the same every time."""
        torch.manual_seed(self.seed)
        out = loop(self.inputs, self.memory, self.mask, self.steps)
        leaves = [self.inputs, self.memory, *loop.parameters()]
        return out, list(torch.autograd.grad(weighed(out), leaves, materialize_grads=True))


def weighed(out: AttentionRNNOutput) -> Tensor:
    """A sum in which every number counts differently."""
    parts = [torch.cos(torch.arange(x.numel()).float()) @ x.float().flatten() for x in out]
    return torch.stack(parts).sum()


THREE = [Fed([5, 2, 7], [4, 9, 1]), Fed([3, 3, 1], [2, 2, 11], 1), Fed([9, 4, 6], [30, 5, 7], 2)]


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speechseq.ops.attention_rnn.cpp.supported", lambda *_: False)
    monkeypatch.setattr("speechseq.nn.attention_rnn_fast.BUCKET_STEPS", BUCKET)
    monkeypatch.delenv("SPEECHSEQ_CUDA_GRAPHS", raising=False)


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops run from emulated graphs."""
    monkeypatch.setenv("SPEECHSEQ_CUDA_GRAPHS", "rehearse")


def expected(loop: AttentionRNN, fed: Fed) -> tuple[AttentionRNNOutput, list[Tensor]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SPEECHSEQ_CUDA_GRAPHS", raising=False)
        return fed.through(loop)


def assert_close(actual: object, true: object, tolerance: float = 1e-6) -> None:
    torch.testing.assert_close(actual, true, rtol=0, atol=tolerance)


@each_mechanism
@pytest.mark.usefixtures("emulated")
def test_law_1_a_bucket_changes_nothing(mechanism):
    loop = loop_of(mechanism, zoneout=0.3, dropout=0.2)
    true = [expected(loop, fed) for fed in THREE]
    for fed, (outputs, true_gradients) in zip(THREE, true, strict=True):
        output, gradients = fed.through(loop)
        assert_close(tuple(output), tuple(outputs))
        assert_close(gradients, true_gradients, 1e-5)  # sums of up to a hundred
    assert len(graph_cache(loop, CPU).replays) == 1


@pytest.mark.usefixtures("emulated")
def test_a_call_is_captured_when_its_signature_is_seen_again_and_replayed_from_then_on():
    loop, calls = loop_of(), []
    loop.attention.register_forward_hook(lambda *_: calls.append(1))
    for fed in THREE:
        fed.through(loop)
    # as it is; then warmed up, captured and emulated; then replayed
    assert len(calls) == BUCKET * (1 + 3 + 1)


def test_nothing_is_recorded_where_hooks_or_other_modules_would_be_passed_by(monkeypatch):
    monkeypatch.setenv("SPEECHSEQ_CUDA_GRAPHS", "1")
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    hooked, other = loop_of(), loop_of()
    hooked.attention.register_forward_hook(lambda *_: None)
    other.attention.query = type("Other", (torch.nn.Linear,), {"__module__": "theirs"})(4, 4)
    for loop in (hooked, other):
        assert graph_cache(loop, torch.device("cuda")) is None


@pytest.mark.usefixtures("emulated")
def test_gradients_add_up_over_batches():
    loop = loop_of()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SPEECHSEQ_CUDA_GRAPHS")
        true = summed(loop)
    for _ in range(3):
        assert_close(summed(loop), true, 1e-5)


def summed(loop: AttentionRNN) -> list[Tensor]:
    loop.zero_grad()
    for fed in THREE:
        torch.manual_seed(3)
        weighed(loop(fed.inputs, fed.memory, fed.mask, fed.steps)).backward()
    return [p.grad.clone() for p in loop.parameters()]


@pytest.mark.usefixtures("emulated")
def test_what_came_out_stays_as_it_was():
    loop = loop_of()
    for fed in THREE[:2]:
        fed.through(loop)
    output, gradients = THREE[0].through(loop)
    before = copy.deepcopy([x.detach() for x in (*output, *gradients)])
    THREE[1].through(loop)
    assert all(torch.equal(a, b) for a, b in zip((*output, *gradients), before, strict=True))


@pytest.mark.usefixtures("emulated")
def test_weights_that_an_update_moved_are_read_anew():
    loop = loop_of()
    for _ in range(3):
        THREE[0].through(loop)
    with torch.no_grad():
        for parameter in loop.parameters():
            parameter.mul_(1.1)
    assert_close(tuple(THREE[0].through(loop)[0]), tuple(expected(loop, THREE[0])[0]))
    assert len(graph_cache(loop, CPU).replays) == 1


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize("change", ["eval", "reading", "weights"])
def test_another_way_to_run_is_another_graph(change):
    loop = loop_of(zoneout=0.3)
    for _ in range(3):
        THREE[0].through(loop)
    if change == "eval":
        loop.eval()
    elif change == "reading":
        loop.attention.reading = ReadingConfig(sharpening=3.0)
    else:
        for parameter in loop.parameters():
            parameter.data = parameter.data * 1.1
    for _ in range(3):
        assert_close(tuple(THREE[0].through(loop)[0]), tuple(expected(loop, THREE[0])[0]))


@pytest.mark.usefixtures("emulated")
def test_without_gradients_and_in_inference_mode():
    loop, fed = loop_of().eval(), THREE[0]
    true = expected(loop, fed)[0]
    for mode in (torch.no_grad, torch.inference_mode, torch.no_grad, torch.inference_mode):
        with mode():
            out = loop(fed.inputs, fed.memory, fed.mask, fed.steps)
        assert_close(tuple(out), tuple(x.detach() for x in true))
        assert not out.hidden.requires_grad


@pytest.mark.usefixtures("emulated")
def test_mixed_precision_is_the_same_mixture():
    loop, fed = loop_of(), THREE[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, _ = expected(loop, fed)
        for _ in range(3):
            output, _ = fed.through(loop)
            assert_close(tuple(output), tuple(outputs), 1e-2)
            assert [x.dtype for x in output] == [x.dtype for x in outputs]
    whole, _ = fed.through(loop)
    assert_close(tuple(whole), tuple(expected(loop, fed)[0]))


@pytest.mark.usefixtures("emulated")
def test_no_cast_of_a_weight_is_kept_between_replays():
    loop, fed = loop_of(), THREE[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        before = [fed.through(loop)[0].alignment for _ in range(3)][-1]
        loop.attention.query.weight.data.mul_(-3.0)
        assert not torch.equal(fed.through(loop)[0].alignment, before)


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize("between", ["forward", "backward"])
def test_a_gradient_asked_for_too_late_is_refused(between):
    loop, fed = loop_of(), THREE[0]
    fed.through(loop)
    loss = weighed(loop(fed.inputs, fed.memory, fed.mask, fed.steps))
    if between == "forward":
        loop(fed.inputs, fed.memory, fed.mask, fed.steps)
    else:
        loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="SPEECHSEQ_CUDA_GRAPHS"):
        loss.backward()


class Failing(Recorder):
    def record(self, function):
        raise RuntimeError("operation not permitted when stream is capturing")


def test_what_cannot_be_recorded_goes_as_it_is_and_warns_once():
    graphs, x = GraphCache(Failing(CPU, emulated=True)), torch.ones(2)
    assert graphs(torch.exp, (x,)).equal(x.exp())
    with pytest.warns(RuntimeWarning, match="not permitted when stream is capturing"):
        assert graphs(torch.exp, (x,)).equal(x.exp())
    assert graphs(torch.exp, (x,)).equal(x.exp())
    assert graphs(torch.sin, (x[:1],)).equal(x[:1].sin())
    assert not graphs.replays


def test_the_least_recently_used_goes():
    graphs = GraphCache(Recorder(CPU, emulated=True))
    for size in [*range(1, graphs.most + 1), 1, graphs.most + 1]:
        for _ in range(2):
            assert graphs(torch.exp, (torch.zeros(size),)).equal(torch.ones(size))
    kept = sorted(replay.inputs[0].numel() for replay in graphs.replays.values())
    assert kept == [1, *range(3, graphs.most + 2)]


class Recorded(Recorder):
    """Recorder whose replays call nothing, as on a GPU, where a graph runs without Python."""

    def __init__(self) -> None:
        super().__init__(CPU, emulated=True)
        self.emulated = False

    def warm(self, function):
        function()

    def record(self, function):
        return Recording(function(), lambda: None)


def test_a_graph_keeps_no_module_alive():
    linear = nn.Linear(2, 2)
    graphs, gone = GraphCache(Recorded()), weakref.ref(linear)
    for _ in range(3):
        graphs(lambda x, layer=linear: layer(x), (torch.ones(1, 2),), tuple(linear.parameters()))
    assert len(graphs.replays) == 1
    del linear
    gc.collect()
    assert gone() is None


def test_graphs_are_off_unless_asked_for(monkeypatch):
    loop = loop_of()
    assert graph_cache(loop, CPU) is None
    assert graph_cache(loop, torch.device("cuda")) is None
    monkeypatch.setenv("SPEECHSEQ_CUDA_GRAPHS", "1")
    assert graph_cache(loop, CPU) is None


# what a graph can hold -------------------------------------------------------------------------


def arguments(device: str) -> tuple:
    like = {"device": device}
    mask, lengths = torch.ones(2, 6, dtype=torch.bool, **like), torch.full((2,), 3, **like)
    drawn = [torch.zeros(4, 2, HIDDEN, dtype=torch.uint8, **like) for _ in range(2)]
    inputs, memory = torch.randn(2, 4, INPUT, **like), torch.randn(2, 6, MEMORY, **like)
    return inputs.requires_grad_(), memory.requires_grad_(), mask, lengths, drawn


@each_mechanism
def test_neither_pass_waits_draws_or_meets_the_host(mechanism, monkeypatch):
    known = torch.is_autocast_enabled
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: kind != "meta" and known(kind))
    with torch.device("meta"):
        loop = loop_of(mechanism, zoneout=0.3, dropout=0.2)
    given = arguments("meta")
    with Captured("meta"):
        out = loop.step_by_step(*given)
        gradients = [torch.ones_like(x) for x in out]
        torch.autograd.grad(out, [*given[:2], *loop.parameters()], gradients, allow_unused=True)


@each_mechanism
@pytest.mark.parametrize("mixed", [False, True])
def test_a_step_on_a_gpu_lies_on_the_gpu(mechanism, mixed):
    before = torch.is_autocast_enabled("cuda")
    with FakeTensorMode(), torch.device("cuda", 0):
        loop = loop_of(mechanism, zoneout=0.3, dropout=0.2)
        given = arguments("cuda")
        torch.set_autocast_enabled("cuda", mixed)  # torch.autocast asks for a real one
        try:
            with Captured("cuda") as captured:
                out = loop.step_by_step(*given)
        finally:
            torch.set_autocast_enabled("cuda", before)
    assert out.hidden.device.type == "cuda"
    assert captured.launches > 4 * 10


def waits(x: Tensor) -> Tensor:
    return x[x > 0]


def draws(x: Tensor) -> Tensor:
    return nn.functional.dropout(x)


def comes_from_the_host(x: Tensor) -> Tensor:
    return x + torch.tensor(1.0).to(x.device)


@pytest.mark.parametrize("fault", [waits, draws, comes_from_the_host])
def test_the_watch_sees_what_no_graph_can_hold(fault):
    with FakeTensorMode(), Captured("cuda"), pytest.raises((AssertionError, RuntimeError)):
        fault(torch.ones(3, device="cuda"))
