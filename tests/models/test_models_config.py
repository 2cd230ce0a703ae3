"""Configurations: strict, whole, and open to a stranger's parts; sizes of the papers' tables."""

import dataclasses
import json
from typing import ClassVar, NamedTuple

import pytest
import torch
from tiny_tacotron import BINS, MELS, SYMBOLS, TINY, tiny_batch, tiny_model, tiny_tacotron2
from torch import Tensor, nn

from speechseq.audio.mel import AudioConfig
from speechseq.errors import ConfigError
from speechseq.models.frame_decoder import FrameDecoderConfig
from speechseq.models.tacotron import TacotronConfig, tacotron1, tacotron2
from speechseq.nn.attention.contract import Attention, AttentionConfig, attend
from speechseq.nn.masks import zero_padding

BUILDERS = {"tacotron1": tacotron1, "tacotron2": tacotron2, **TINY}


# a stranger's mechanism, whole: fewer than 20 lines
class ProductState(NamedTuple):
    memory: Tensor
    mask: Tensor
    keys: Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProductConfig(AttentionConfig):
    kind: ClassVar[str] = "product"

    def build(self, query_dim, memory_dim):
        return ProductAttention(query_dim, memory_dim)


class ProductAttention(Attention):
    def __init__(self, query_dim, memory_dim):
        super().__init__()
        self.key = nn.Linear(memory_dim, query_dim)

    def start(self, memory, memory_mask):
        memory = zero_padding(memory, memory_mask)
        return ProductState(memory, memory_mask, self.key(memory))

    def forward(self, query, state):
        energies = (state.keys @ query.unsqueeze(2)).squeeze(2)
        return *attend(energies, state.memory, state.mask), state


@pytest.mark.parametrize("builder", BUILDERS)
def test_plain_data_and_back(builder):
    config = BUILDERS[builder]()
    data = json.loads(json.dumps(config.to_dict()))
    assert TacotronConfig.from_dict(data) == config


@pytest.mark.parametrize("name", TINY)
def test_a_rebuilt_config_builds_the_same_parameters(name):
    config = TINY[name]()
    again = TacotronConfig.from_dict(config.to_dict())
    model, other = tiny_model(config), tiny_model(again)
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        a, b = model(tiny_batch()), other(tiny_batch())
    assert torch.equal(a.mel_after, b.mel_after)


@pytest.mark.parametrize("r", [0, -1])
def test_no_frames_a_step_are_refused(r):
    with pytest.raises(ConfigError, match=f"reduction_factor: {r}"):
        tacotron2(reduction_factor=r)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"stop_threshold": 1.5}, "stop_threshold: 1.5"),
        ({"attention_end_steps": 0}, "attention_end_steps: 0"),
    ],
)
def test_numbers_that_no_decoder_can_run_with_are_refused(numbers, message):
    with pytest.raises(ConfigError, match=message):
        FrameDecoderConfig(**numbers)


def test_a_scale_that_cannot_be_divided_by_is_refused():
    with pytest.raises(ConfigError, match="mel_scale: 0"):
        TacotronConfig(mel_scale=0.0)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("decoder", "attention", "kind"), "locaton", "decoder.attention.kind: unknown 'locaton'"),
        (("decoder", "reduction"), 2, "decoder.reduction: unknown key"),
        (("decoder", "reduction_factor"), "2", "decoder.reduction_factor: expected int"),
        (("decoder", "attention_rnn"), "rnn", "decoder.attention_rnn: 'rnn' is none of"),
        (("encoder", "kernel"), 2.5, "encoder.kernel: expected int"),
        (("decoder", "reduction_factor"), 0, "reduction_factor: 0"),
    ],
)
def test_wrong_data_is_refused_by_its_key(path, value, message):
    data = tacotron2().to_dict()
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ConfigError, match=message):
        TacotronConfig.from_dict(data)


def test_an_unknown_attention_is_told_the_nearest_known():
    data = tacotron2().to_dict()
    data["decoder"]["attention"]["kind"] = "locaton_sensitive"
    with pytest.raises(ConfigError, match="did you mean 'location_sensitive'"):
        TacotronConfig.from_dict(data)


def test_a_stranger_s_attention_needs_no_edit_elsewhere():
    config = tiny_tacotron2(attention=ProductConfig())
    model = tiny_model(config)
    speech = model.generate(tiny_batch().tokens, tiny_batch().token_lengths, seed=1, max_steps=3)
    assert isinstance(model.decoder.core.attention, ProductAttention)
    torch.testing.assert_close(speech.alignment[:, 0].sum(-1), torch.ones(3))
    data = json.loads(json.dumps(config.to_dict()))
    assert TacotronConfig.from_dict(data, also=[ProductConfig]) == config
    with pytest.raises(ConfigError, match="unknown 'product'"):
        TacotronConfig.from_dict(data)


def test_a_linear_spectrum_has_the_default_audio_s_bins_unless_told_others():
    with torch.device("meta"):
        default = tacotron1().build(symbols=SYMBOLS, mels=MELS)
        other = tacotron1().build(symbols=SYMBOLS, mels=MELS, bins=BINS)
    assert shapes(default.postnet)["project.weight"][0] == AudioConfig().bins == 513
    assert shapes(other.postnet)["project.weight"][0] == BINS


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(p.shape) for name, p in module.named_parameters()}


def test_tacotron1_has_the_sizes_of_table_1():
    with torch.device("meta"):
        model = tacotron1().build(symbols=70, mels=80, bins=1025)
    sizes = shapes(model)
    expected = {
        "encoder.embedding.weight": (70, 256),
        "encoder.prenet.layers.0.weight": (256, 256),
        "encoder.prenet.layers.1.weight": (128, 256),
        "encoder.cbhg.bank.15.conv.weight": (128, 128, 16),
        "encoder.cbhg.projections.0.conv.weight": (128, 2048, 3),
        "encoder.cbhg.projections.1.conv.weight": (128, 128, 3),
        "encoder.cbhg.highways.3.gate.weight": (128, 128),
        "encoder.cbhg.gru.back.weight_hh_l0": (384, 128),
        "decoder.prenet.layers.0.weight": (256, 80),
        "decoder.prenet.layers.1.weight": (128, 256),
        "decoder.core.cell.weight_ih": (768, 128 + 256),
        "decoder.core.attention.query.weight": (256, 256),
        "decoder.stack.project.weight": (256, 512),
        "decoder.stack.layers.1.weight_hh": (768, 256),
        "decoder.frames.weight": (160, 256),
        "decoder.stop.weight": (1, 256),
        "postnet.cbhg.bank.7.conv.weight": (128, 80, 8),
        "postnet.cbhg.projections.0.conv.weight": (256, 1024, 3),
        "postnet.cbhg.projections.1.conv.weight": (80, 256, 3),
        "postnet.cbhg.highways.3.gate.weight": (128, 128),
        "postnet.cbhg.gru.ahead.weight_hh_l0": (384, 128),
        "postnet.project.weight": (1025, 256),
    }
    assert {name: sizes.get(name) for name in expected} == expected
    beyond = ("encoder.cbhg.bank.16", "encoder.cbhg.highways.4", "decoder.stack.layers.2")
    assert not [name for name in sizes if name.startswith((*beyond, "postnet.cbhg.bank.8"))]


def test_tacotron2_of_several_frames_a_step_differs_in_the_frame_projection_alone():
    with torch.device("meta"):
        one, three = (tacotron2(reduction_factor=r).build(symbols=148, mels=80) for r in (1, 3))
    differing = {n for n, shape in shapes(three).items() if shape != shapes(one)[n]}
    assert differing == {"decoder.frames.weight", "decoder.frames.bias"}
    assert tuple(three.decoder.frames.weight.shape) == (240, 1536)


def test_the_paper_s_zoneout_is_one_call_away():
    decoder = tacotron2(dropout=0.0, zoneout=0.1).decoder
    assert (decoder.attention_rnn_dropout, decoder.attention_rnn_zoneout) == (0, 0.1)
    assert (decoder.stack.dropout, decoder.stack.zoneout) == (0, 0.1)


@pytest.mark.parametrize("name", TINY)
def test_training_runs_under_mixed_precision(name):
    model = tiny_model(TINY[name]()).train()
    with torch.autocast("cpu", torch.bfloat16):
        output = model(tiny_batch())
    loss = output.mel_before.float().square().mean() + output.stop_logits.float().mean()
    if output.log_magnitude is not None:
        loss = loss + output.log_magnitude.float().square().mean()
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.isfinite(g).all() for g in gradients)
    assert output.alignment.dtype == torch.float32


@pytest.mark.parametrize("name", TINY)
def test_mixed_precision_stays_close(name):
    model = tiny_model(TINY[name]())
    with torch.no_grad():
        exact = model(tiny_batch())
        with torch.autocast("cpu", torch.bfloat16):
            mixed = model(tiny_batch())
    error = (mixed.mel_before.float() - exact.mel_before).abs().max()
    assert error < 0.05 * exact.mel_before.abs().max()


def test_bins_do_not_concern_a_post_net_without_a_linear_spectrum():
    assert tiny_tacotron2().build(symbols=SYMBOLS, mels=MELS).postnet is not None
    assert tiny_tacotron2().build(symbols=SYMBOLS, mels=MELS, bins=BINS).postnet is not None
