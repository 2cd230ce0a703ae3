"""A window only moves forward, padding and batch change nothing, and a length scale stretches."""

from typing import Any, NamedTuple

import pytest
import torch
from tiny_tacotron import never_stopping, speak, texts, tiny_model, tiny_tacotron2
from torch import Tensor, nn

from speechseq.errors import ConfigError
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.dot import DotConfig
from speechseq.nn.attention.dynamic_convolution import DynamicConvolutionConfig
from speechseq.nn.attention.forward import ForwardConfig
from speechseq.nn.attention.gmm import GMMConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention.multi_head import MultiHeadConfig
from speechseq.nn.attention.reading import median
from speechseq.nn.attention.stepwise_monotonic import StepwiseMonotonicConfig

WINDOWED = [
    LocationSensitiveConfig(dim=8, filters=3, kernel=5),
    ContentConfig(dim=8),
    DotConfig(dim=8),
    MultiHeadConfig(heads=2, head=ContentConfig(dim=4)),
    DynamicConvolutionConfig(dim=8),
]
MONOTONIC = [GMMConfig(dim=8), ForwardConfig(dim=8), StepwiseMonotonicConfig(dim=8)]
LENGTHS = [14, 9, 1, 12]


def never(attention: Any, scale: float = 1.0, **numbers: Any) -> Any:
    """A model that never stops; a larger `scale` of energies lets attention jump about."""
    model = never_stopping("tacotron2", attention=attention, **numbers)
    with torch.no_grad():
        for name, weight in model.decoder.core.attention.named_parameters():
            if "energy" in name or "query" in name:
                weight.mul_(scale)
    return model


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("config", WINDOWED, ids=lambda config: config.kind)
def test_weights_outside_are_zero_and_no_edge_moves_back(config: Any, window: int) -> None:
    out = speak(never(config, 20.0), LENGTHS, seed=3, max_steps=24, window=window)
    for row, length in enumerate(LENGTHS):
        weights = out.alignment[row, : out.step_lengths[row]]
        torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)))
        reached = median(weights).cummax(0).values
        before = torch.cat([torch.zeros(1, dtype=torch.long), reached[:-1]])
        for at, step in zip(before.tolist(), weights, strict=True):
            inside = range(max(0, at - window // 2), min(length - 1, at + window) + 1)
            outside = [i for i in range(step.shape[0]) if i not in inside]
            assert not step[outside].any()
    assert window == 1 or int(reached[-1]) > 0


@pytest.mark.parametrize("config", WINDOWED[:1], ids=lambda config: config.kind)
def test_without_a_window_the_same_attention_jumps_back(config: Any) -> None:
    out = speak(never(config, 20.0), LENGTHS[:1], seed=3, max_steps=24)
    assert (out.alignment[0].argmax(1).diff() < -2).any()


@pytest.mark.parametrize("config", WINDOWED, ids=lambda config: config.kind)
def test_an_item_alone_equals_its_row_of_a_padded_batch(config: Any) -> None:
    model = never(config, 5.0).double()
    together = speak(model, LENGTHS, extra=3, seed=3, max_steps=12, window=2)
    for row, length in enumerate(LENGTHS):
        tokens = texts(LENGTHS)[row][None]
        alone = model.generate(tokens, torch.tensor([length]), seed=3, max_steps=12, window=2)
        steps = int(alone.step_lengths)
        assert int(together.step_lengths[row]) == steps
        weights = together.alignment[row, :steps, :length]
        torch.testing.assert_close(weights, alone.alignment[0])


def test_a_window_over_the_whole_text_changes_nothing() -> None:
    model = never(LocationSensitiveConfig(dim=8, filters=3, kernel=5))
    plain = speak(model, LENGTHS, seed=3, max_steps=12)
    windowed = speak(model, LENGTHS, seed=3, max_steps=12, window=60)
    torch.testing.assert_close(windowed.mel_after, plain.mel_after, rtol=0, atol=1e-5)
    torch.testing.assert_close(windowed.alignment, plain.alignment, rtol=0, atol=1e-6)
    assert windowed.finished_reason == plain.finished_reason


@pytest.mark.parametrize("config", MONOTONIC, ids=lambda config: config.kind)
def test_a_monotonic_mechanism_gets_no_window(config: Any) -> None:
    model = never(config)
    plain, windowed = (speak(model, LENGTHS, seed=3, max_steps=20, window=w) for w in (None, 1))
    assert torch.equal(plain.alignment, windowed.alignment)


class _StrangerState(NamedTuple):
    memory: Tensor
    valid: Tensor


class _Stranger(nn.Module):
    """A mechanism of two methods, whose mask has another name."""

    def start(self, memory: Tensor, memory_mask: Tensor) -> _StrangerState:
        return _StrangerState(memory, memory_mask)

    def forward(self, query: Tensor, state: _StrangerState) -> tuple[Tensor, Tensor, Any]:
        weights = state.valid / state.valid.sum(1, keepdim=True)
        return (weights.unsqueeze(1) @ state.memory).squeeze(1), weights, state


def test_a_mechanism_without_a_mask_in_its_state_is_refused_with_its_name() -> None:
    model = tiny_model(tiny_tacotron2())
    model.decoder.core.attention = _Stranger()
    speak(model, [3], max_steps=2)
    with pytest.raises(ConfigError, match="the state of _Stranger has no mask") as refused:
        speak(model, [3], max_steps=2, window=2)
    assert refused.value.cure


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"window": 0}, "window: 0"),
        ({"window": -1}, "window: -1"),
        ({"length_scale": 0.0}, "length_scale: 0"),
        ({"length_scale": float("nan")}, "length_scale: nan"),
        ({"length_scale": 11.0}, "length_scale: 11"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(options: dict, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        speak(tiny_model(tiny_tacotron2()), [3], **options)


@pytest.mark.parametrize("version", ["v2b", "graves"])
@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_length_scale_stretches_gmm_attention(version: str, scale: float) -> None:
    model = never(GMMConfig(dim=8, version=version), attention_end_steps=1)
    with torch.no_grad():
        model.decoder.core.attention.mixture.weight.mul_(0.01)
        bias = model.decoder.core.attention.mixture.bias
        bias[5:10], bias[10:] = -1.3, 0.5  # slow and narrow
    lengths = [30, 17]
    once = speak(model, lengths, seed=3)
    scaled = speak(model, lengths, seed=3, length_scale=scale)
    assert {*once.finished_reason, *scaled.finished_reason} == {"attention_end"}
    ratios = scaled.step_lengths / once.step_lengths
    assert (ratios - scale).abs().max() < 0.1 * scale


def test_a_length_scale_moves_the_limit_too_and_1_changes_nothing() -> None:
    model = never(GMMConfig(dim=8), spare_frames=10, frames_per_token=1.0)
    plain, same, double = (speak(model, [4], seed=1, length_scale=x) for x in (1.0, 1.0, 2.0))
    assert torch.equal(plain.mel_after, same.mel_after)
    assert int(double.step_lengths) == 2 * int(plain.step_lengths)


@pytest.mark.parametrize("config", [*WINDOWED, *MONOTONIC[1:]], ids=lambda config: config.kind)
def test_mechanisms_whose_speed_cannot_be_set_say_so(config: Any) -> None:
    with pytest.raises(ConfigError, match="length_scale: the speed of") as refused:
        speak(never(config), [3], length_scale=2.0)
    assert "GMM" in refused.value.cure
