"""Law 6: every run ends and says why; a finished row leaves the work and does not change."""

import dataclasses
import itertools
from typing import ClassVar, NamedTuple

import pytest
import torch
from tiny_tacotron import MELS, TINY, never_stopping, speak
from torch import Tensor, nn

from speechseq.models.backends import frame_decoder_cpp
from speechseq.models.frame_decoder import FrameDecoder, FrameDecoderConfig
from speechseq.models.generation import FreeRun, free_run
from speechseq.nn.attention.contract import Attention, AttentionConfig
from speechseq.nn.prenet import UtteranceNoise
from speechseq.shapes import Encoded

MARK = 0  # the memory channel that says "stop here"
WIDTH = 6
each_tacotron = pytest.mark.parametrize("name", TINY)


@pytest.fixture(autouse=True, params=["by itself", "from emulated graphs"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each law, for the decoder as it runs here, and for blocks of steps as a GPU may run them."""
    if request.param == "from emulated graphs":
        monkeypatch.setenv("SPEECHSEQ_CUDA_GRAPHS", "rehearse")
        monkeypatch.setattr(frame_decoder_cpp, "supported", lambda _: False)
        monkeypatch.setattr(UtteranceNoise, "block", 4)
    return request.param


class MarchState(NamedTuple):
    memory: Tensor
    last: Tensor
    position: Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class MarchConfig(AttentionConfig):
    """One position further at every step, and then it rests on the last."""

    kind: ClassVar[str] = "march"

    def build(self, query_dim, memory_dim):
        return March()


class March(Attention):
    def start(self, memory, memory_mask):
        last = memory_mask.sum(1) - 1
        return MarchState(memory, last, torch.zeros_like(last))

    def forward(self, query, state):
        weights = nn.functional.one_hot(state.position, state.memory.shape[1]).to(query)
        context = state.memory[torch.arange(len(query)), state.position]
        return (
            context,
            weights,
            state._replace(position=torch.minimum(state.position + 1, state.last)),
        )


def marching(reduction_factor: int = 1, end_steps: int = 4) -> FrameDecoder:
    """A decoder that reads a position a step and stops where the memory is marked."""
    config = FrameDecoderConfig(
        reduction_factor=reduction_factor,
        prenet=(8,),
        prenet_dropout=0.5,
        attention_rnn_dim=8,
        attention=MarchConfig(),
        attention_end_steps=end_steps,
    )
    decoder = FrameDecoder(WIDTH, MELS, config).eval()
    nn.init.zeros_(decoder.stop.weight)
    nn.init.zeros_(decoder.stop.bias)
    decoder.stop.weight.data[0, decoder.stack.output_dim + MARK] = 10.0
    return decoder


def marked(lengths: list[int], stops: dict[int, int]) -> Encoded:
    """Memories of these lengths; row i tells the decoder to stop at position stops[i]."""
    memory = torch.randn(len(lengths), max(lengths), WIDTH)
    memory[:, :, MARK] = -1.0
    for row, position in stops.items():
        memory[row, position, MARK] = 1.0
    return Encoded(memory, torch.tensor(lengths))


def row_of(encoded: Encoded, row: int) -> Encoded:
    length = encoded.memory_lengths[row : row + 1]
    return Encoded(encoded.memory[row : row + 1, : int(length)], length)


def lengthy(rows: int, steps: int = 50) -> Tensor:
    return torch.full((rows,), steps)


@torch.no_grad()
def run(decoder, encoded, limits, noise=None) -> FreeRun:
    return free_run(decoder, encoded, limits, noise)


def test_law_6_each_row_ends_by_its_own_reason():
    encoded = marked([9, 3, 30, 6], {0: 4, 3: 0})
    limits = torch.tensor([50, 50, 11, 50])
    ran = run(marching(), encoded, limits)
    assert ran.finished_reason == ("stop", "attention_end", "limit", "stop")
    # it arrives on its last position with step 3 and has rested there 4 times with step 6
    assert ran.step_lengths.tolist() == [5, 6, 11, 1]


def test_law_6_a_stop_outweighs_an_end_of_attention_which_outweighs_a_limit():
    decoder = marching(end_steps=1)
    assert run(decoder, marked([1], {0: 0}), lengthy(1, 1)).finished_reason == ("stop",)
    assert run(decoder, marked([1], {}), lengthy(1, 1)).finished_reason == ("attention_end",)


def test_law_6_attention_that_leaves_the_last_position_starts_to_rest_anew():
    class Restless(March):
        def forward(self, query, state):
            context, weights, state = super().forward(query, state)
            turn = torch.where(state.position == state.last, 0, state.last)
            return context, weights, state._replace(position=turn)

    decoder = marching(end_steps=2)
    decoder.core.attention = Restless()
    assert run(decoder, marked([3], {}), lengthy(1, 20)).finished_reason == ("limit",)


def test_law_6_finished_rows_are_the_same_alone():
    encoded, limits = marked([9, 3, 30, 6], {0: 4, 3: 0}), torch.tensor([50, 50, 11, 50])
    decoder = marching(reduction_factor=2)
    noise = [UtteranceNoise([5] * n, (8,), 0.5, torch.device("cpu")) for n in (4, 1, 1, 1, 1)]
    together = run(decoder, encoded, limits, noise[0])
    for row in range(4):
        alone = run(decoder, row_of(encoded, row), limits[row : row + 1], noise[row + 1])
        steps, positions = int(together.step_lengths[row]), encoded.memory_lengths[row]
        assert steps == int(alone.step_lengths[0])
        torch.testing.assert_close(together.mel[row, : steps * 2], alone.mel[0])
        torch.testing.assert_close(together.stop_logits[row, :steps], alone.stop_logits[0])
        torch.testing.assert_close(together.alignment[row, :steps, :positions], alone.alignment[0])


def test_law_6_a_row_is_zero_behind_its_end():
    ran = run(marching(reduction_factor=2), marked([9, 3, 30], {0: 4}), lengthy(3, 12))
    for row, steps in enumerate(ran.step_lengths.tolist()):
        assert ran.mel[row, : steps * 2].abs().sum(-1).all()
        assert not ran.mel[row, steps * 2 :].any()
        assert not ran.stop_logits[row, steps:].any()
        assert not ran.alignment[row, steps:].any()


def test_law_6_finished_rows_leave_the_work(way):
    decoder, rows = marching(), []
    decoder.prenet.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    ran = run(decoder, marked([9, 3, 30, 6], {0: 4, 3: 0}), lengthy(4, 11))
    if way == "from emulated graphs":  # behind each block, to a power of two; some again and again
        assert [width for width, _ in itertools.groupby(rows)] == [4, 1]
        return
    assert rows == [4, 3, 3, 3, 3, 2, 1, 1, 1, 1, 1]
    assert len(rows) == int(ran.step_lengths.max())
    assert sum(rows) == int(ran.step_lengths.sum())


@each_tacotron
def test_law_6_limits_follow_from_a_row_s_own_length(name):
    numbers = {"reduction_factor": 2, "frames_per_token": 3.0, "spare_frames": 4}
    model = never_stopping(name, **numbers)
    speech = speak(model, [1, 5, 2])
    assert speech.finished_reason == ("limit",) * 3
    assert speech.step_lengths.tolist() == [4, 10, 5]  # (4 + 3 n) / 2, rounded up
    assert speech.frame_lengths.tolist() == [8, 20, 10]
    assert speak(model, [1, 5, 2], max_steps=5).step_lengths.tolist() == [4, 5, 5]


@each_tacotron
def test_law_6_a_model_that_always_stops_says_one_step(name):
    model = never_stopping(name)
    model.decoder.stop.bias.data.fill_(9.0)
    speech = speak(model, [1, 5])
    assert speech.finished_reason == ("stop", "stop")
    assert speech.step_lengths.tolist() == [1, 1]


@pytest.mark.parametrize(("bias", "threshold", "reason"), [(0.1, 0.5, "stop"), (0.1, 0.6, "limit")])
def test_law_6_the_threshold_is_a_probability(bias, threshold, reason):
    model = never_stopping("tacotron2", stop_threshold=threshold)
    model.decoder.stop.bias.data.fill_(bias)  # sigmoid(0.1) is 0.525
    assert speak(model, [2], max_steps=3).finished_reason == (reason,)


def test_law_6_not_a_number_ends_at_the_limit():
    model = never_stopping("tacotron2")
    model.decoder.frames.bias.data.fill_(float("nan"))
    assert speak(model, [3], max_steps=7).finished_reason == ("limit",)
