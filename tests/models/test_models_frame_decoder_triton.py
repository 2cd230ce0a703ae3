"""The Triton decoder step without a GPU: interpreted, it equals torch; for a GPU, it compiles."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_models_free_packed import check_same, decoder_of, each_decoder, encoded, noise_of
from tiny_tacotron import tiny_tacotron1, tiny_tacotron2
from torch import Tensor
from torch.utils._pytree import tree_leaves
from triton_without_gpu import interpret

from speechseq.models.backends import frame_decoder_cpp, triton_layers
from speechseq.models.backends.frame_decoder_triton import advance, supported
from speechseq.models.backends.triton_layers import TritonAttention
from speechseq.models.frame_decoder import FrameDecoder
from speechseq.models.generation import FreeRun, free_run
from speechseq.nn.attention.dot import DotConfig
from speechseq.nn.attention.reading import ReadingConfig, weigh
from speechseq.nn.masks import length_mask
from speechseq.nn.prenet import UtteranceNoise
from speechseq.ops.quantize import PRECISIONS
from speechseq.ops.triton import launch

STEPS = 2
LENGTHS = [9, 1, 4, 12, 2]
TINY = {"Tacotron 1": tiny_tacotron1().decoder, "Tacotron 2": tiny_tacotron2().decoder}
each_tiny = pytest.mark.parametrize("config", TINY.values(), ids=list(TINY))


@pytest.fixture(autouse=True)
def _on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "KIND", "cpu")
    monkeypatch.setattr(triton_layers, "PROGRAMS", 4)  # an interpreter runs them one by one
    monkeypatch.setattr(triton_layers, "COLUMNS", 4)  # several programs read a row
    launch._launches.cache_clear()


@torch.inference_mode()
def steps_of(
    decoder: FrameDecoder, rows: int, ours: bool, noisy: bool = True, backwards: bool = False
) -> list[Tensor]:
    """Outputs of some steps and all tensors behind them, by Triton or by torch."""
    torch.manual_seed(0)
    mask = length_mask(torch.tensor(LENGTHS[:rows]), 12)
    state = decoder.start(torch.randn(rows, 12, decoder.core.cell.context_dim), mask)
    sizes = decoder.prenet.sizes
    keep = tuple(2.0 * (torch.rand(rows, STEPS, n) < 0.5) for n in sizes) if noisy else None
    if not ours:
        return tree_leaves(decoder.advance(STEPS, state, keep))
    with pytest.MonkeyPatch.context() as patch:
        interpret(patch, backwards)
        return tree_leaves(advance(decoder, "float32", STEPS, state, keep))


def check(ours: list[Tensor], torchs: list[Tensor], tolerance: float = 1e-5) -> None:
    for a, b in zip(ours, torchs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@each_decoder
def test_it_makes_what_torch_makes(config):
    decoder = decoder_of(config)
    check(steps_of(decoder, 2, True), steps_of(decoder, 2, False))


@each_tiny
def test_so_it_does_for_many_rows_for_one_and_without_noise(config):
    decoder = decoder_of(config)
    check(steps_of(decoder, 5, True), steps_of(decoder, 5, False))
    check(steps_of(decoder, 1, True, noisy=False), steps_of(decoder, 1, False, noisy=False))


@each_tiny
def test_the_order_of_a_launch_s_programs_changes_no_bit(config):
    decoder = decoder_of(config)
    check(steps_of(decoder, 3, True, backwards=True), steps_of(decoder, 3, True), 0.0)


@pytest.mark.parametrize("programs", [1, 64])
def test_nor_does_their_number_change_what_is_made(programs, monkeypatch):
    decoder = decoder_of(TINY["Tacotron 2"])
    monkeypatch.setattr(triton_layers, "PROGRAMS", programs)
    check(steps_of(decoder, 1, True), steps_of(decoder, 1, False))


@each_tiny
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_decoder_runs_by_it_from_graphs_with_rounded_weights(precision, config, monkeypatch):
    decoder, rows = decoder_of(config), [0, 3]
    heard = encoded([LENGTHS[i] for i in rows], padding=float("nan"))

    @torch.inference_mode()
    def run() -> FreeRun:
        noise = noise_of(decoder.config, rows)
        return free_run(decoder, heard, torch.tensor([3, 1]), noise, precision=precision)

    monkeypatch.setattr(frame_decoder_cpp, "supported", lambda _: False)
    expected = run()
    interpret(monkeypatch)
    monkeypatch.setenv("SPEECHSEQ_CUDA_GRAPHS", "rehearse")
    monkeypatch.setattr(UtteranceNoise, "block", STEPS)
    monkeypatch.setattr(FrameDecoder, "step", lambda *_: pytest.fail("torch ran"))
    check_same(run(), expected)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of what overflows
@pytest.mark.parametrize("size", [float("inf"), float("-inf"), 3e38, float("nan")])
def test_energies_of_any_size_give_the_weights_that_torch_gives(size, monkeypatch):
    attention = decoder_of(TINY["Tacotron 2"]).core.attention
    mask = length_mask(torch.tensor([5, 3, 5]), 5)
    energy = torch.randn(3, 5)
    energy[0, 1], energy[1, :3], energy[2] = size, size, torch.tensor([size, -size] * 3)[:5]
    interpret(monkeypatch)
    with torch.inference_mode():
        state = attention.start(torch.randn(3, 5, attention.key.in_features), mask)
        weights, expected = torch.empty(3, 5), weigh(energy, mask, ReadingConfig())
        triton = TritonAttention(attention, torch.float32)
        context, after = triton.read(energy, state, mask.to(torch.uint8), weights)
    pairs = (weights, expected), (context, torch.einsum("rp,rpc->rc", expected, state.memory))
    for ours, torchs in (*pairs, (after.history, torch.stack([expected, expected], 1))):
        torch.testing.assert_close(ours, torchs, equal_nan=True)


@pytest.mark.parametrize("name", ["tacotron1", "tacotron2"])
@pytest.mark.parametrize("what", ["speak", "train"])
def test_the_full_sizes_compile_for_a_gpu(what, name):
    # apart: an interpreter leaves its traces in Triton
    here = Path(__file__).parent.parent
    run = [sys.executable, str(here / "triton_without_gpu.py"), what, name, "90"]
    completed = subprocess.run(
        run, check=True, capture_output=True, text=True, timeout=280, cwd=here
    )
    launches = {"tacotron1": {"speak": 10, "train": 6}, "tacotron2": {"speak": 8, "train": 8}}
    assert len(completed.stdout.split()) == 2 * launches[name][what], completed.stdout


def test_where_triton_launches_nothing_torch_does_and_says_so_once():
    decoder = decoder_of(TINY["Tacotron 2"])
    with pytest.warns(RuntimeWarning, match="Triton does not run on cpu"):
        assert not supported(decoder)
    assert not supported(decoder)


def test_what_it_does_not_know_and_what_nobody_wants_torch_does(monkeypatch):
    decoder = decoder_of(TINY["Tacotron 2"])
    interpret(monkeypatch)
    assert supported(decoder)
    other = decoder_of(tiny_tacotron2(attention=DotConfig(dim=8)).decoder)
    assert not supported(other)
    monkeypatch.setenv("SPEECHSEQ_NATIVE", "0")
    assert not supported(decoder)
    monkeypatch.delenv("SPEECHSEQ_NATIVE")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert not supported(decoder)
