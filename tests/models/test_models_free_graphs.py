"""Blocks of steps from CUDA graphs, emulated, speak as the decoder does a step at a time."""

import dataclasses

import pytest
import torch
from capturable import Captured
from test_models_free_packed import check_same, decoder_of, each_decoder, encoded, noise_of
from tiny_tacotron import MELS, TINY, tiny_tacotron2
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from speechseq.models.backends import frame_decoder_cpp
from speechseq.models.frame_decoder import FrameDecoder, FrameDecoderConfig
from speechseq.models.generation import FreeRun, free_run
from speechseq.nn.attention.dot import DotConfig
from speechseq.nn.prenet import UtteranceNoise
from speechseq.ops.cuda_graph import graph_cache
from speechseq.ops.quantize import PRECISIONS

BLOCK = 4
LENGTHS, LIMITS = [9, 1, 4, 12, 2], torch.tensor([3, 14, 9, 14, 4])


@pytest.fixture(autouse=True)
def _by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_decoder_cpp, "supported", lambda _: False)
    monkeypatch.setattr(UtteranceNoise, "block", BLOCK)
    monkeypatch.delenv("SPEECHSEQ_CUDA_GRAPHS", raising=False)


@torch.inference_mode()
def run(decoder: FrameDecoder, rows: list[int], noisy: bool = True, **how) -> FreeRun:
    heard = encoded([LENGTHS[i] for i in rows], padding=float("nan"))
    noise = noise_of(decoder.config, rows) if noisy else None
    return free_run(decoder, heard, LIMITS[rows], noise, **how)


def emulated(*arguments, **how) -> FreeRun:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPEECHSEQ_CUDA_GRAPHS", "rehearse")
        return run(*arguments, **how)


@each_decoder
def test_blocks_make_what_steps_make(config):
    decoder = decoder_of(config)
    expected = run(decoder, [0, 1, 2, 3, 4])
    for _ in range(2):
        check_same(emulated(decoder, [0, 1, 2, 3, 4]), expected)


def test_law_10_without_noise_and_with_another_mechanism():
    decoder = decoder_of(tiny_tacotron2(attention=DotConfig(dim=8)).decoder)
    for noisy in (False, True):
        expected = run(decoder, [0, 1, 2], noisy)
        for _ in range(2):
            check_same(emulated(decoder, [0, 1, 2], noisy), expected)


def test_a_bucket_serves_all_lengths_in_it():
    decoder = decoder_of(tiny_tacotron2().decoder)
    for rows in ([3, 1], [0, 3], [4, 2]):
        check_same(emulated(decoder, rows), run(decoder, rows))
    widths = {len(r.inputs[0]) for r in graphs(decoder).replays.values()}
    assert widths == {1, 2}
    assert len(graphs(decoder).replays) == 2


def graphs(decoder: FrameDecoder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPEECHSEQ_CUDA_GRAPHS", "rehearse")
        return graph_cache(decoder, torch.device("cpu"))


def test_weights_that_training_moved_are_read_anew():
    decoder = decoder_of(tiny_tacotron2().decoder)
    for _ in range(2):
        emulated(decoder, [0, 1])
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(0.9)
    check_same(emulated(decoder, [0, 1]), run(decoder, [0, 1]))


def test_weights_are_rounded_in_a_graph_too():
    decoder = decoder_of(tiny_tacotron2().decoder)
    expected = {kind: run(decoder, [0, 1], precision=kind) for kind in PRECISIONS}
    for kind in PRECISIONS * 3:
        check_same(emulated(decoder, [0, 1], precision=kind), expected[kind])
    # of each precision two rows at first, then one; they are not recorded anew at each run
    assert len(graphs(decoder).replays) == 2 * len(PRECISIONS)


def test_a_run_that_is_fed_is_not_recorded():
    decoder, fed = decoder_of(tiny_tacotron2().decoder), torch.randn(2, 20, MELS)
    check_same(emulated(decoder, [0, 1], fed=fed), run(decoder, [0, 1], fed=fed))
    assert not graphs(decoder).seen


def test_who_wants_a_gradient_gets_one(monkeypatch):
    monkeypatch.setenv("SPEECHSEQ_CUDA_GRAPHS", "rehearse")
    decoder = decoder_of(tiny_tacotron2().decoder)
    free_run(decoder, encoded([3, 5]), torch.tensor([9, 9]), None).mel.sum().backward()
    assert decoder.frames.weight.grad.any()


CONFIGS: dict[str, FrameDecoderConfig] = {name: TINY[name]().decoder for name in TINY}


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_a_block_neither_waits_nor_draws_nor_meets_the_host(name):
    config = dataclasses.replace(CONFIGS[name], prenet=(8, 8))
    with FakeTensorMode(), torch.device("cuda", 0):
        decoder = FrameDecoder(6, MELS, config).eval()
        memory, mask = torch.randn(2, 9, 6), torch.ones(2, 9, dtype=torch.bool)
        keep: tuple[Tensor, ...] = tuple(torch.ones(2, BLOCK, 8) for _ in range(2))
        with Captured("cuda") as captured:
            state = decoder.start(memory, mask)
            output, _ = decoder.advance(BLOCK, state, keep)
    assert output.frames.shape[:2] == (2, BLOCK)
    assert captured.launches > 0
