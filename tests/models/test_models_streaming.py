"""A mel that is read in parts while the decoder runs is the mel made at once."""

import dataclasses

import pytest
import torch
from tiny_voice import AUDIO, MODEL, VOCABULARY

from speechseq.errors import ConfigError
from speechseq.models import frame_decoder
from speechseq.models.decoder_steps import Steering
from speechseq.models.postnets import ConvPostnetConfig, LinearPostnetConfig
from speechseq.models.streaming import MelStream
from speechseq.models.tacotron import Tacotron
from speechseq.nn.attention.gmm import GMMConfig
from speechseq.nn.postnet import Postnet

TOKENS = torch.tensor([[5, 3, 9, 2, 7, 1]])
LENGTHS = torch.tensor([6])


def model(reduction_factor: int = 2, layers: int = 3, kernel: int = 5, **parts: object) -> Tacotron:
    """An untrained model that ends by its limit, and whose batch norms do something."""
    torch.manual_seed(3)
    decoder = dataclasses.replace(
        MODEL.decoder,
        reduction_factor=reduction_factor,
        spare_frames=151,
        attention_end_steps=1000,
        **parts,
    )
    postnet = ConvPostnetConfig(layers=layers, channels=8, kernel=kernel)
    config = dataclasses.replace(MODEL, decoder=decoder, postnet=postnet, mel_mean=-6.0)
    built = config.build(symbols=len(VOCABULARY), mels=AUDIO.mels).eval()
    with torch.no_grad():
        built.decoder.stop.bias.fill_(-20.0)
        for name, buffer in built.postnet.named_buffers():
            if buffer.is_floating_point():
                buffer.add_(torch.rand_like(buffer) if "var" in name else 0.3)
    return built


def parts(stream: MelStream, frames: int) -> tuple[list[torch.Tensor], str]:
    found = []
    while True:
        mel, reason = stream.read(frames)
        found.append(mel)
        if reason is not None:
            return found, reason


@pytest.mark.parametrize("frames", [1, 7, 64, 10_000])
@pytest.mark.parametrize(("reduction_factor", "kernel"), [(1, 5), (3, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # the kernel, torch
def test_parts_of_any_size_are_the_mel_made_at_once(
    frames: int, reduction_factor: int, kernel: int, dtype: torch.dtype
) -> None:
    voice = model(reduction_factor, kernel=kernel).to(dtype)
    whole = voice.generate(TOKENS, LENGTHS, seed=4)
    found, reason = parts(MelStream(voice, TOKENS, LENGTHS, seed=4), frames)
    assert whole.mel_after.shape[1] > 150
    torch.testing.assert_close(torch.cat(found, dim=1), whole.mel_after, rtol=0, atol=1e-5)
    assert all(part.shape[1] == frames for part in found[:-1])
    assert 0 < found[-1].shape[1] <= frames
    assert (reason,) == whole.finished_reason == ("limit",)


@pytest.mark.parametrize("bias", [0.3, 0.05, -0.05])
def test_a_stream_ends_where_the_stop_head_says(bias: float) -> None:
    voice = model(layers=2)
    with torch.no_grad():
        voice.decoder.stop.bias.fill_(bias)
    for seed in range(8):
        whole = voice.generate(TOKENS, LENGTHS, seed=seed)
        found, reason = parts(MelStream(voice, TOKENS, LENGTHS, seed=seed), 5)
        assert sum(part.shape[1] for part in found) == int(whole.frame_lengths)
        assert (reason,) == whole.finished_reason


def test_window_speed_and_limit_are_those_of_generate() -> None:
    voice = model(attention=GMMConfig(dim=4, mixtures=2))
    options = {"seed": 1, "max_steps": 40}
    whole = voice.generate(TOKENS, LENGTHS, window=2, length_scale=1.5, **options)
    steered = MelStream(voice, TOKENS, LENGTHS, steering=Steering(2, 1.5), **options)
    found, _ = parts(steered, 9)
    torch.testing.assert_close(torch.cat(found, dim=1), whole.mel_after)
    plain, _ = parts(MelStream(voice, TOKENS, LENGTHS, **options), 9)
    assert not torch.allclose(torch.cat(plain, dim=1), whole.mel_after)
    windowed = model()
    whole = windowed.generate(TOKENS, LENGTHS, window=1, **options)
    found, _ = parts(MelStream(windowed, TOKENS, LENGTHS, steering=Steering(1), **options), 9)
    torch.testing.assert_close(torch.cat(found, dim=1), whole.mel_after)


def test_the_decoder_is_ahead_by_the_reach_of_the_post_net_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = []
    advance = frame_decoder.FrameDecoder.advance
    monkeypatch.setattr(
        frame_decoder.FrameDecoder,
        "advance",
        lambda self, count, *rest: steps.append(count) or advance(self, count, *rest),
    )
    voice = model(layers=3, kernel=5).double()  # without the kernel
    stream = MelStream(voice, TOKENS, LENGTHS, seed=0)
    assert not steps
    for frames in (10, 20, 30):
        stream.read(10)
        assert sum(steps) * 2 == frames + 6  # three layers see two frames ahead each


@pytest.mark.parametrize(("layers", "kernel"), [(2, 5), (3, 4), (2, 1)])
def test_reach_is_the_receptive_field(layers: int, kernel: int) -> None:
    net = Postnet(4, layers, channels=6, kernel=kernel).double().eval()
    before, after = net.reach
    mel = torch.randn(1, 40, 4, dtype=torch.float64, requires_grad=True)
    net(mel, torch.ones(1, 40, dtype=torch.bool))[0, 20].sum().backward()
    seen = mel.grad[0].abs().sum(1).nonzero().flatten().tolist()
    assert (seen[0], seen[-1]) == (20 - before, 20 + after)


def test_a_model_in_training_goes_on_training_between_two_parts() -> None:
    voice = model().train()
    stream = MelStream(voice, TOKENS, LENGTHS, seed=0)
    assert voice.training
    stream.read(8)
    assert all(part.training for part in voice.modules())
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_a_post_net_that_needs_the_end_is_refused() -> None:
    linear = LinearPostnetConfig(bank=2, channels=8, projections=(8,), highways=1, gru=4)
    config = dataclasses.replace(MODEL, postnet=linear)
    voice = config.build(symbols=len(VOCABULARY), mels=AUDIO.mels, bins=AUDIO.bins).eval()
    with pytest.raises(ConfigError, match="'linear' reads an utterance to its end"):
        MelStream(voice, TOKENS, LENGTHS, seed=0)
