"""Every mechanism in both Tacotrons: laws 1, 5 and 10 through the whole model; and a stranger's."""

import dataclasses
from typing import ClassVar, NamedTuple

import pytest
import torch
from tiny_tacotron import (
    MELS,
    TINY,
    never_stopping,
    speak,
    texts,
    tiny_batch,
    tiny_model,
    without_dropout,
)
from torch import Tensor, nn

from speechseq.models.frame_decoder import FrameDecoder, FrameDecoderConfig
from speechseq.models.speller import SpellerConfig
from speechseq.models.tacotron import Tacotron
from speechseq.nn.attention.contract import AttentionConfig
from speechseq.nn.attention.dynamic_convolution import DynamicConvolutionConfig
from speechseq.nn.attention.forward import ForwardConfig
from speechseq.nn.attention.gmm import GMMConfig
from speechseq.nn.attention.stepwise_monotonic import StepwiseMonotonicConfig
from speechseq.nn.frames import teacher_inputs
from speechseq.nn.masks import length_mask, zero_padding


class PlainState(NamedTuple):
    memory: Tensor
    mask: Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlainConfig(AttentionConfig):
    kind: ClassVar[str] = "plain"

    def build(self, query_dim, memory_dim):
        return Plain(query_dim, memory_dim)


class Plain(nn.Module):
    """A stranger's mechanism: two methods, no `reading`, none of our classes."""

    def __init__(self, query_dim, memory_dim):
        super().__init__()
        self.query = nn.Linear(query_dim, memory_dim)

    def start(self, memory, memory_mask):
        return PlainState(zero_padding(memory, memory_mask), memory_mask)

    def forward(self, query, state):
        energies = (state.memory @ self.query(query).unsqueeze(2)).squeeze(2)
        weights = torch.softmax(energies.masked_fill(state.mask.logical_not(), -torch.inf), 1)
        return (weights.unsqueeze(1) @ state.memory).squeeze(1), weights, state


NEW = {
    "gmm": GMMConfig(dim=8),
    "graves": GMMConfig(dim=8, version="graves"),
    "convolution": DynamicConvolutionConfig(dim=8),
    "forward": ForwardConfig(dim=8, filters=3, kernel=5),
    "agent": ForwardConfig(dim=8, filters=3, kernel=5, transition_agent=True),
    "stepwise": StepwiseMonotonicConfig(dim=8),
    "a stranger's": PlainConfig(),
}
each_new = pytest.mark.parametrize("attention", NEW)
each_tacotron = pytest.mark.parametrize("name", TINY)


def voice(name: str, attention: str) -> Tacotron:
    return never_stopping(name, attention=NEW[attention])


@each_new
@each_tacotron
def test_law_5_teacher_forced_equals_stepwise(name, attention):
    config = without_dropout(TINY[name](reduction_factor=2, attention=NEW[attention])).decoder
    decoder = FrameDecoder(6, MELS, config).double().eval()
    mel, memory = torch.randn(2, 8, MELS).double(), torch.randn(2, 5, 6).double()
    frames, mask = length_mask(torch.tensor([8, 8])), length_mask(torch.tensor([3, 5]))
    with torch.no_grad():
        forced = decoder(mel, frames, memory, mask)
        state, ready, outputs = decoder.start(memory, mask), decoder.core.prepare(), []
        for frame in teacher_inputs(mel, 2).unbind(1):
            output, state = decoder.step(state._replace(frame=frame), ready)
            outputs.append(output)
    for name_of_part, whole in (("weights", forced.alignment), ("stop_logit", forced.stop_logits)):
        steps = torch.stack([getattr(x, name_of_part) for x in outputs], 1)
        torch.testing.assert_close(steps, whole, rtol=1e-10, atol=1e-10)


@each_new
@each_tacotron
def test_law_1_and_10_an_utterance_alone_equals_its_row_in_a_batch(name, attention):
    model = voice(name, attention)
    whole = speak(model, [4, 2, 7], extra=3, seed=[1, 2, 3], max_steps=9)
    for row, length in enumerate([4, 2, 7]):
        alone = speak_row(model, row, [4, 2, 7])
        torch.testing.assert_close(
            alone.alignment[0], whole.alignment[row, :, :length], rtol=1e-5, atol=1e-5
        )
        torch.testing.assert_close(alone.mel_after[0], whole.mel_after[row], rtol=1e-4, atol=1e-4)


def speak_row(model: Tacotron, row: int, lengths: list[int]):
    tokens = texts(lengths)[row][None]
    return model.generate(tokens, torch.tensor([lengths[row]]), seed=row + 1, max_steps=9)


@each_new
@each_tacotron
def test_a_model_learns_through_the_mechanism(name, attention):
    torch.manual_seed(0)
    model = tiny_model(TINY[name](attention=NEW[attention])).train()
    output = model(tiny_batch(fill=float("nan"), extra=2))
    output.mel_after.nan_to_num().sum().backward()
    sums = output.alignment.sum(2)
    valid = length_mask(output.step_lengths, sums.shape[1])
    torch.testing.assert_close(sums, valid.float(), rtol=0, atol=1e-5)
    gradients = {n: p.grad for n, p in model.decoder.core.attention.named_parameters()}
    assert any(g is not None and g.abs().sum() > 0 for g in gradients.values())
    assert all(g is None or g.isfinite().all() for g in gradients.values())


@pytest.mark.parametrize("way", ["0", "rehearse"])
def test_a_stranger_s_plain_module_runs_free(way, monkeypatch):
    monkeypatch.setenv("SPEECHSEQ_CUDA_GRAPHS", way)
    model = voice("tacotron2", "a stranger's")
    forced = model(tiny_batch()).alignment
    assert forced.isfinite().all()
    for _ in range(3):  # uncaptured, captured, replayed
        speech = speak(model, [4, 2], seed=1, max_steps=6)
    assert speech.finished_reason == ("limit", "limit")


@pytest.mark.parametrize("kind", [c.kind for c in NEW.values() if c.kind != "plain"])
def test_a_mechanism_is_chosen_by_its_kind(kind):
    config = FrameDecoderConfig.from_dict({"attention": {"kind": kind, "dim": 7}})
    assert (config.attention.kind, config.attention.dim) == (kind, 7)
    assert FrameDecoderConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("kind", ["gmm", "dynamic_convolution"])
def test_a_speller_may_have_what_can_move_by_several_positions(kind):
    config = SpellerConfig.from_dict({"attention": {"kind": kind}})
    assert config.attention.kind == kind
