"""The kernel that speaks makes what torch's operations make, in every precision, of every row."""

import copy
import dataclasses

import pytest
import torch
from tiny_tacotron import MELS, TINY, never_stopping, speak, tiny_tacotron1, tiny_tacotron2
from torch import Tensor, nn

from speechseq.errors import ConfigError
from speechseq.models.backends import frame_decoder_cpp
from speechseq.models.backends.frame_decoder_cpp import KERNEL
from speechseq.models.backends.supported import rounded_decoder
from speechseq.models.decoder_stack import LSTMStackConfig, ResidualGRUStackConfig
from speechseq.models.decoder_steps import Steering
from speechseq.models.frame_decoder import FrameDecoder, FrameDecoderConfig
from speechseq.models.generation import FreeRun, free_run
from speechseq.models.tacotron import tacotron1, tacotron2_small
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.dot import DotConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.nn.prenet import Prenet, UtteranceNoise
from speechseq.ops.cpp.library import library
from speechseq.ops.quantize import PRECISIONS, quantize
from speechseq.shapes import Encoded

WIDTH = 6
LENGTHS = [9, 1, 4, 12, 2, 7, 3, 5, 10, 6]  # more rows than one product takes
each_precision = pytest.mark.parametrize("precision", PRECISIONS)
each_tacotron = pytest.mark.parametrize("name", TINY)

DECODERS = {
    "tiny Tacotron 1": tiny_tacotron1().decoder,
    "tiny Tacotron 2": tiny_tacotron2().decoder,
    "Tacotron 1": tacotron1().decoder,
    "small Tacotron 2": tacotron2_small().decoder,
    "r = 3, zoneout, two layers": tiny_tacotron2(
        reduction_factor=3,
        attention_rnn_zoneout=0.1,
        stack=LSTMStackConfig(layers=2, dim=24, zoneout=0.2),
    ).decoder,
    "r = 5, widths that fill no vector": tiny_tacotron2(
        reduction_factor=5,
        prenet=(7,),
        attention_rnn_dim=19,
        attention=LocationSensitiveConfig(dim=9, filters=17, kernel=3, history="previous"),
        stack=LSTMStackConfig(layers=1, dim=5),
    ).decoder,
    "GRU below, LSTM above, three layers in the pre-net": tiny_tacotron2(
        prenet=(9, 30, 8),
        prenet_bias=True,
        attention_rnn="gru",
        attention_rnn_zoneout=0.1,
        attention=ContentConfig(dim=70, reading=ReadingConfig(first="uniform")),
        project_context=False,
    ).decoder,
    "LSTM below, GRUs above, location": tiny_tacotron1(
        attention_rnn="lstm",
        attention=LocationSensitiveConfig(
            dim=20, filters=4, kernel=31, reading=ReadingConfig(first="one_hot")
        ),
        stack=ResidualGRUStackConfig(layers=3, dim=18),
        project_context=True,
    ).decoder,
}
each_decoder = pytest.mark.parametrize("config", DECODERS.values(), ids=list(DECODERS))


def decoder_of(config: FrameDecoderConfig) -> FrameDecoder:
    """It ends by its limits alone; its biases are none that training would begin with."""
    never = dataclasses.replace(config, attention_end_steps=9999)
    decoder = FrameDecoder(WIDTH, MELS, never).eval()
    for parameter in decoder.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, std=0.3)
    nn.init.constant_(decoder.stop.bias, -99.0)
    return decoder


def encoded(lengths: list[int], padding: float = 0.0) -> Encoded:
    """Memories of these lengths, with anything behind them."""
    generator = torch.Generator().manual_seed(3)
    memory = torch.full((len(lengths), max(lengths) + 2, WIDTH), padding)
    for row, length in enumerate(lengths):
        memory[row, :length] = torch.randn(length, WIDTH, generator=generator)
    return Encoded(memory, torch.tensor(lengths))


def noise_of(config: FrameDecoderConfig, seeds: list[int]) -> UtteranceNoise:
    return UtteranceNoise(seeds, config.prenet, config.prenet_dropout, torch.device("cpu"))


@torch.inference_mode()
def run(decoder: FrameDecoder, heard: Encoded, limits: Tensor, seed: int = 1, **how) -> FreeRun:
    noise = noise_of(decoder.config, [seed + row for row in range(len(limits))])
    return free_run(decoder, heard, limits, noise, **how)


def by_torch(*arguments, **how) -> FreeRun:
    """The same run without the kernel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_decoder_cpp, "supported", lambda _: False)
        return run(*arguments, **how)


def check_same(ours: FreeRun, torchs: FreeRun, tolerance: float = 1e-5) -> None:
    assert ours.finished_reason == torchs.finished_reason
    assert torch.equal(ours.step_lengths, torchs.step_lengths)
    for actual, expected in zip(ours[:3], torchs[:3], strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


@each_decoder
@torch.no_grad()
def test_the_kernel_runs_wherever_it_is_there(config):
    assert frame_decoder_cpp.supported(decoder_of(config)) == (library(KERNEL) is not None)


@each_precision
@each_decoder
def test_the_kernel_makes_what_torch_makes_over_several_blocks_of_steps(config, precision):
    decoder, limits = decoder_of(config), torch.tensor([66, 3, 64])
    heard = encoded([9, 1, 12], padding=1e4)
    how = {"precision": precision}
    check_same(run(decoder, heard, limits, **how), by_torch(decoder, heard, limits, **how))


@pytest.mark.parametrize("window", [1, 3, 10**7])
@each_decoder
def test_the_kernel_keeps_the_window_that_torch_keeps(config, window):
    decoder, limits = decoder_of(config), torch.tensor([70, 3, 64])
    with torch.no_grad():  # larger energies, so that attention moves, and would jump
        decoder.core.attention.energy.weight *= 20.0
        decoder.core.attention.query.weight *= 3.0
    heard, how = encoded([40, 1, 12], padding=1e4), {"steering": Steering(window)}
    ours = run(decoder, heard, limits, **how)
    check_same(
        ours, by_torch(decoder, heard, limits, **how), 1e-4
    )  # energies are 60 times as large
    free = run(decoder, heard, limits)
    assert torch.equal(ours.mel, free.mel) == (window > 40)


@each_tacotron
def test_the_kernel_reads_frames_that_it_is_fed(name):
    decoder, limits = decoder_of(TINY[name]().decoder), torch.tensor([150, 9, 70])
    heard, fed = encoded([9, 1, 12]), torch.randn(3, 150, MELS)
    ran = run(decoder, heard, limits, fed=fed)
    check_same(ran, by_torch(decoder, heard, limits, fed=fed))
    fed[0, 20] += 1.0
    changed = (run(decoder, heard, limits, fed=fed).mel[0] != ran.mel[0]).any(-1)
    assert int(changed.nonzero()[0]) == 20 * decoder.config.reduction_factor


@each_precision
@each_decoder
def test_laws_1_and_10_an_utterance_alone_equals_its_row_in_a_batch(config, precision):
    decoder = decoder_of(config)
    limits = torch.tensor([20, 9, 14, 3, 66, 8, 11, 5, 12, 6])
    together = run(decoder, encoded(LENGTHS, padding=float("nan")), limits, precision=precision)
    for row, (length, steps) in enumerate(zip(LENGTHS, limits.tolist(), strict=True)):
        memory = encoded(LENGTHS).memory[row : row + 1, :length]
        heard = Encoded(memory, torch.tensor([length]))
        alone = run(decoder, heard, limits[row : row + 1], seed=1 + row, precision=precision)
        frames = steps * decoder.config.reduction_factor
        pairs = [
            (together.mel[row, :frames], alone.mel[0]),
            (together.stop_logits[row, :steps], alone.stop_logits[0]),
            (together.alignment[row, :steps, :length], alone.alignment[0]),
        ]
        for batched, single in pairs:
            torch.testing.assert_close(batched, single, rtol=0, atol=1e-5)
        assert not together.mel[row, frames:].any()


@each_precision
@each_tacotron
def test_law_10_threads_and_padding_change_no_bit(name, precision):
    decoder, limits = decoder_of(TINY[name]().decoder), torch.tensor([9, 1, 12, 4])
    alone = run(decoder, encoded([9, 1, 12, 4]), limits, precision=precision)
    torch.set_num_threads(2)
    shared = run(decoder, encoded([9, 1, 12, 4], float("nan")), limits, precision=precision)
    for one, two in zip(alone, shared, strict=True):
        assert torch.equal(one, two) if isinstance(one, Tensor) else one == two


@each_precision
@each_tacotron
def test_law_6_rows_end_at_the_same_step_for_the_same_reason(name, precision):
    config = TINY[name](attention_end_steps=5).decoder
    decoder = decoder_of(config)
    decoder.config = config
    heard, limits = encoded([1, 5, 9, 7, 12, 4]), torch.tensor([30, 30, 4, 30, 30, 30])
    nn.init.normal_(decoder.stop.weight, std=2.0)
    nn.init.zeros_(decoder.stop.bias)
    logits = by_torch(decoder, heard, limits, precision=precision, fed=None).stop_logits
    highest = logits.flatten().sort().values
    nn.init.constant_(decoder.stop.bias, -float(highest[-3:-1].mean()))  # between two: no tie
    ended = by_torch(decoder, heard, limits, precision=precision)
    check_same(run(decoder, heard, limits, precision=precision), ended)
    assert {"attention_end", "limit"} <= set(ended.finished_reason)
    decoder.stop.bias.data.fill_(99.0)
    stopped = run(decoder, heard, limits, precision=precision)
    assert stopped.finished_reason == ("stop",) * 6
    assert stopped.step_lengths.tolist() == [1] * 6


def test_law_6_not_a_number_does_not_end_a_row():
    decoder = decoder_of(DECODERS["tiny Tacotron 2"])
    nn.init.constant_(decoder.frames.bias, float("nan"))
    heard, limits = encoded([3, 5]), torch.tensor([4, 7])
    ran = run(decoder, heard, limits)
    assert ran.finished_reason == ("limit", "limit")
    assert ran.mel[1].isnan().all()  # and no pre-net makes it a number again
    assert ran.stop_logits[0, 1:4].isnan().all()


@each_precision
def test_new_weights_are_packed_anew(precision):
    decoder = decoder_of(DECODERS["tiny Tacotron 2"])
    heard, limits = encoded([4, 2]), torch.tensor([5, 5])

    def check_changed(before: Tensor) -> Tensor:
        ran = run(decoder, heard, limits, precision=precision)
        check_same(ran, by_torch(decoder, heard, limits, precision=precision))
        assert not torch.equal(ran.mel, before)
        return ran.mel

    mel = check_changed(torch.empty(0))
    decoder.frames.weight.data[0, 0] += 1.0  # behind autograd's back
    mel = check_changed(mel)
    with torch.no_grad():
        decoder.core.cell.weight_hh[[0, 1]] = decoder.core.cell.weight_hh[[1, 0]]  # the same sum
    mel = check_changed(mel)
    decoder.load_state_dict(decoder_of(DECODERS["tiny Tacotron 2"]).state_dict())
    mel = check_changed(mel)
    decoder.stop = nn.Linear(decoder.stop.in_features, 1)
    nn.init.constant_(decoder.stop.bias, -99.0)
    decoder.frames.bias = nn.Parameter(decoder.frames.bias + 1)
    check_changed(mel)


def test_the_twin_of_a_packed_decoder_is_its_own():
    decoder = decoder_of(DECODERS["tiny Tacotron 1"])
    heard, limits = encoded([4, 2]), torch.tensor([5, 5])
    before = run(decoder, heard, limits).mel
    twin = copy.deepcopy(decoder)
    nn.init.zeros_(twin.frames.weight)
    assert not torch.equal(run(twin, heard, limits).mel, before)
    assert torch.equal(run(decoder, heard, limits).mel, before)


@pytest.mark.parametrize("precision", PRECISIONS[1:])
def test_rounded_weights_are_kept_until_the_decoder_s_own_change(precision):
    decoder = decoder_of(DECODERS["tiny Tacotron 2"])
    with torch.inference_mode():
        first = rounded_decoder(decoder, precision)
    second = rounded_decoder(decoder, precision)
    cells = [(d.frames.weight, d.core.cell.weight_hh) for d in (decoder, first, second)]
    for own, one, two in zip(*cells, strict=True):
        assert one is two
        assert torch.equal(one, quantize(own, precision).dequantize())
        assert not torch.equal(one, own)
    assert first.frames.bias is decoder.frames.bias
    decoder.core.cell.weight_hh.data[0, 0] += 1.0  # behind autograd's back
    third = rounded_decoder(decoder, precision)
    own = quantize(decoder.core.cell.weight_hh, precision).dequantize()
    assert torch.equal(third.core.cell.weight_hh, own)
    assert not torch.equal(second.core.cell.weight_hh, own)


def test_a_rounded_decoder_has_what_is_no_weight_from_the_decoder_as_it_is():
    decoder = decoder_of(DECODERS["tiny Tacotron 2"])
    heard, limits = encoded([4, 1]), torch.tensor([5, 5])
    assert by_torch(decoder, heard, limits, precision="int8").finished_reason == ("limit",) * 2
    decoder.config = dataclasses.replace(decoder.config, attention_end_steps=1)
    ended = by_torch(decoder, heard, limits, precision="int8")
    assert ended.finished_reason[1] == "attention_end"
    rounded_decoder(decoder, "int8").train()
    assert not decoder.training


def test_a_rounded_decoder_hands_a_gradient_on_whoever_asked_first():
    decoder = decoder_of(DECODERS["tiny Tacotron 2"])
    heard, limits, noise = encoded([4]), torch.tensor([5]), noise_of(decoder.config, [1])
    by_torch(decoder, heard, limits, precision="bfloat16")  # without gradients
    heard.memory.requires_grad_()
    free_run(decoder, heard, limits, noise, precision="bfloat16").mel.sum().backward()
    assert heard.memory.grad.any()


def test_what_the_kernel_does_not_know_torch_does():
    tiny = DECODERS["tiny Tacotron 2"]
    plain = decoder_of(tiny)
    others = [decoder_of(dataclasses.replace(tiny, attention=DotConfig(dim=8)))]
    for reading in (ReadingConfig(sharpening=2.0), ReadingConfig(window=1)):
        others.append(decoder_of(tiny))
        others[-1].core.attention.reading = reading
    others.append(decoder_of(tiny).double())
    others.append(decoder_of(tiny))
    nn.utils.parametrizations.weight_norm(others[-1].frames)
    others.append(decoder_of(tiny))
    others[-1].prenet = type("Louder", (Prenet,), {})(MELS, tiny.prenet)
    seen: list[Tensor] = []
    others.append(decoder_of(tiny))
    others[-1].prenet.register_forward_hook(lambda _, __, output: seen.append(output))
    for other in others:
        with torch.no_grad():
            assert not frame_decoder_cpp.supported(other)
    assert run(others[-1], encoded([3]), torch.tensor([4])).step_lengths.tolist() == [4]
    assert len(seen) == 4
    noise = noise_of(tiny, [1])
    ran = free_run(plain, encoded([3]), torch.tensor([4]), noise)  # for who wants its gradient
    assert ran.mel.requires_grad


@each_precision
def test_rounded_weights_are_as_near_as_their_bits_allow(precision):
    weight = torch.randn(30, 50) * torch.logspace(-3, 3, 30).unsqueeze(1)
    weight[7] = 0.0
    error = (quantize(weight, precision).dequantize() - weight).abs()
    largest = weight.abs().amax(1, keepdim=True)
    allowed = {"float32": 0 * weight, "bfloat16": weight.abs() / 256, "int8": largest / 253}
    assert (error <= allowed[precision]).all()


@pytest.mark.parametrize(("precision", "bound"), [("bfloat16", 0.004), ("int8", 0.01)])
def test_a_precision_stays_near_float32_fed_with_the_same_frames(precision, bound):
    decoder, limits = decoder_of(DECODERS["small Tacotron 2"]), torch.tensor([100, 100])
    heard, fed = encoded([9, 12]), torch.randn(2, 100, MELS)
    whole = run(decoder, heard, limits, fed=fed).mel
    error = (run(decoder, heard, limits, fed=fed, precision=precision).mel - whole).norm()
    assert 0 < error / whole.norm() < bound


@each_precision
@each_tacotron
def test_a_model_speaks_in_every_precision(name, precision):
    speech = speak(never_stopping(name), [4, 1, 6], seed=1, max_steps=9, precision=precision)
    whole = speak(never_stopping(name), [4, 1, 6], seed=1, max_steps=9)
    assert torch.equal(speech.mel_after, whole.mel_after) == (precision == "float32")
    assert (speech.mel_after - whole.mel_after).norm() < 0.02 * whole.mel_after.norm()


def test_a_model_of_another_type_is_rounded_too():
    model = never_stopping("tacotron2").double()
    speech, whole = (
        speak(model, [4, 2], seed=1, max_steps=9, precision=p).mel_after
        for p in ("int8", "float32")
    )
    assert speech.dtype == torch.float64
    assert 0 < (speech - whole).norm() < 0.02 * whole.norm()


def test_another_precision_is_refused():
    with pytest.raises(ConfigError, match="precision: 'int4' is not known"):
        speak(never_stopping("tacotron2"), [2], max_steps=1, precision="int4")
