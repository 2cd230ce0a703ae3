"""Law 6, every run ends and says why; law 10, one seed, one result; law 1, free-running."""

import dataclasses
from typing import ClassVar, NamedTuple

import pytest
import torch
from padding_law import GARBAGE_TOKEN, TOLERANCE
from tiny_tacotron import MELS, TINY, padded, tiny_model
from torch import Tensor, nn

from speechseq.errors import ConfigError
from speechseq.models.frame_decoder import FrameDecoder, FrameDecoderConfig
from speechseq.models.free_running import FreeRun, evaluating, free_run
from speechseq.models.tacotron import Generated, Tacotron
from speechseq.nn.attention.contract import Attention, AttentionConfig
from speechseq.nn.prenet import UtteranceNoise
from speechseq.shapes import Encoded

MARK = 0  # the memory channel that says "stop here"
WIDTH = 6
each_tacotron = pytest.mark.parametrize("name", TINY)


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
    made = run(marching(), encoded, limits)
    assert made.finished_reason == ("stop", "attention_end", "limit", "stop")
    # it arrives on its last position with step 3 and has rested there 4 times with step 6
    assert made.step_lengths.tolist() == [5, 6, 11, 1]


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
    made = run(marching(reduction_factor=2), marked([9, 3, 30], {0: 4}), lengthy(3, 12))
    for row, steps in enumerate(made.step_lengths.tolist()):
        assert made.mel[row, : steps * 2].abs().sum(-1).all()
        assert not made.mel[row, steps * 2 :].any()
        assert not made.stop_logits[row, steps:].any()
        assert not made.alignment[row, steps:].any()


def test_law_6_finished_rows_leave_the_work():
    decoder, rows = marching(), []
    decoder.prenet.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    made = run(decoder, marked([9, 3, 30, 6], {0: 4, 3: 0}), lengthy(4, 11))
    assert rows == [4, 3, 3, 3, 3, 2, 1, 1, 1, 1, 1]
    assert len(rows) == int(made.step_lengths.max())
    assert sum(rows) == int(made.step_lengths.sum())


@each_tacotron
def test_law_6_limits_follow_from_a_row_s_own_length(name):
    numbers = {"reduction_factor": 2, "frames_per_token": 3.0, "spare_frames": 4}
    model = never_stopping(name, **numbers)
    made = speak(model, [1, 5, 2])
    assert made.finished_reason == ("limit",) * 3
    assert made.step_lengths.tolist() == [4, 10, 5]  # (4 + 3 n) / 2, rounded up
    assert made.frame_lengths.tolist() == [8, 20, 10]
    assert speak(model, [1, 5, 2], max_steps=5).step_lengths.tolist() == [4, 5, 5]


@each_tacotron
def test_law_6_a_model_that_always_stops_says_one_step(name):
    model = never_stopping(name)
    model.decoder.stop.bias.data.fill_(9.0)
    made = speak(model, [1, 5])
    assert made.finished_reason == ("stop", "stop")
    assert made.step_lengths.tolist() == [1, 1]


@pytest.mark.parametrize(("bias", "threshold", "reason"), [(0.1, 0.5, "stop"), (0.1, 0.6, "limit")])
def test_law_6_the_threshold_is_a_probability(bias, threshold, reason):
    model = never_stopping("tacotron2", stop_threshold=threshold)
    model.decoder.stop.bias.data.fill_(bias)  # sigmoid(0.1) is 0.525
    assert speak(model, [2], max_steps=3).finished_reason == (reason,)


def test_law_6_not_a_number_ends_at_the_limit():
    model = never_stopping("tacotron2")
    model.decoder.frames.bias.data.fill_(float("nan"))
    assert speak(model, [3], max_steps=7).finished_reason == ("limit",)


def never_stopping(name: str, **numbers: object) -> Tacotron:
    torch.manual_seed(0)
    model = tiny_model(TINY[name](**{"attention_end_steps": 999} | numbers))
    nn.init.zeros_(model.decoder.stop.weight)
    nn.init.constant_(model.decoder.stop.bias, -9.0)
    return model


def texts(lengths: list[int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randint(6, (n,), generator=generator) for n in lengths]


def speak(model: Tacotron, lengths: list[int], extra: int = 0, **options: object) -> Generated:
    tokens = padded(texts(lengths), GARBAGE_TOKEN, extra)
    return model.generate(tokens, torch.tensor(lengths), **options)


LENGTHS = [4, 1, 6, 2]


@each_tacotron
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_law_1_and_10_an_utterance_alone_equals_its_row_in_a_batch(name, dtype):
    model = never_stopping(name, frames_per_token=4.0, spare_frames=6).to(dtype)
    seeds = [3, 8, 3, 5]
    together = speak(model, LENGTHS, extra=3, seed=seeds)
    for row, (text, n) in enumerate(zip(texts(LENGTHS), LENGTHS, strict=True)):
        alone = model.generate(text[None], torch.tensor([n]), seed=seeds[row])
        frames, steps = int(alone.frame_lengths), int(alone.step_lengths)
        assert frames == int(together.frame_lengths[row])
        pairs = [
            (together.mel_after[row, :frames], alone.mel_after[0]),
            (together.alignment[row, :steps, :n], alone.alignment[0]),
            (together.stop_logits[row, :steps], alone.stop_logits[0]),
        ]
        if together.log_magnitude is not None:
            pairs.append((together.log_magnitude[row, :frames], alone.log_magnitude[0]))
            assert not together.log_magnitude[row, frames:].any()
        for batched, single in pairs:
            torch.testing.assert_close(batched, single, rtol=0, atol=TOLERANCE[dtype])
        assert not together.mel_after[row, frames:].any()


@each_tacotron
def test_law_10_one_seed_one_result(name):
    model = never_stopping(name)
    first = speak(model, LENGTHS, seed=7, max_steps=9).mel_after
    torch.manual_seed(99)  # of no importance
    assert torch.equal(first, speak(model, LENGTHS, seed=7, max_steps=9).mel_after)
    assert not torch.equal(first, speak(model, LENGTHS, seed=8, max_steps=9).mel_after)


@each_tacotron
def test_law_10_without_a_seed_torch_s_own_decides(name):
    model = never_stopping(name)
    made = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        made.append(speak(model, LENGTHS, max_steps=9).mel_after)
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@each_tacotron
def test_law_10_a_seed_leaves_torch_s_own_generator_alone(name):
    model = never_stopping(name)
    torch.manual_seed(1)
    speak(model, LENGTHS, seed=7, max_steps=3)
    after = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(3))


@each_tacotron
def test_trap_26_the_dropout_free_option_needs_no_seed(name):
    model = never_stopping(name, free_running_dropout=False)
    quiet = [speak(model, LENGTHS, seed=seed, max_steps=9).mel_after for seed in (1, 2, None)]
    assert torch.equal(quiet[0], quiet[1])
    assert torch.equal(quiet[0], quiet[2])


@each_tacotron
def test_dropout_of_the_pre_net_alone_acts_when_free_running(name):
    """A model left in training mode speaks as in evaluation: batch norm and other dropout too."""
    model = never_stopping(name)
    quiet = speak(model, LENGTHS, seed=1, max_steps=9).mel_after
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert torch.equal(quiet, speak(model, LENGTHS, seed=1, max_steps=9).mel_after)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_every_part_gets_its_own_mode_back():
    model = never_stopping("tacotron2").train()
    model.encoder.eval()  # frozen, say
    modes = [part.training for part in model.modules()]
    speak(model, [2], seed=1, max_steps=2)
    assert [part.training for part in model.modules()] == modes
    with pytest.raises(ConfigError, match="2 seeds for 1 utterances"):
        speak(model, [2], seed=[1, 2])
    model.postnet.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        speak(model, [2], seed=1, max_steps=2)
    assert [part.training for part in model.modules()] == modes


def test_evaluating_sets_every_part():
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    with evaluating(model):
        assert not any(part.training for part in model.modules())
    assert all(part.training for part in model.modules())


def test_less_than_one_step_is_refused():
    with pytest.raises(ConfigError, match="max_steps: 0"):
        speak(never_stopping("tacotron2"), [2], max_steps=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@each_tacotron
def test_a_model_in_half_precision_speaks(name, dtype):
    made = speak(never_stopping(name).to(dtype), LENGTHS, seed=1, max_steps=4)
    assert made.mel_after.dtype == dtype
    assert torch.isfinite(made.mel_after).all()


@each_tacotron
def test_what_is_heard_can_be_learned_from_again(name):
    """The output enters a graph, for instance to train a vocoder on it."""
    mel = speak(never_stopping(name), LENGTHS, seed=1, max_steps=3).mel_after
    (mel.clone() * torch.ones((), requires_grad=True)).sum().backward()
