"""Check of loops captured as CUDA graphs against the same loops run step by step.

    python3 benchmarks/graph_check.py [--device cuda] [--full]

The script trains and runs small Tacotrons, and trains a speller and searches with it (--full: full
sizes and lengths), in float32 and bf16; on a GPU with torch operations and with fused kernels. For
each case, it prints the largest difference relative to the largest number, the captured graphs and
their memory. The exit code is 1 if a difference is too large or nothing was captured. On a CPU the
graphs are only emulated.
"""

import argparse
import functools
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
from noise import MELS, SYMBOLS, Sizes, Speech, lengths, speech
from torch import Tensor, nn

from speechseq.batch import TTSBatch
from speechseq.models.frame_decoder import FrameDecoder
from speechseq.models.losses import TacotronLoss, TacotronLossConfig
from speechseq.models.speller import Speller, SpellerConfig
from speechseq.models.tacotron import (
    Tacotron,
    TacotronConfig,
    tacotron1,
    tacotron2,
    tacotron2_small,
)
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.nn.attention_rnn import AttentionRNN
from speechseq.nn.masks import length_mask
from speechseq.nn.rows import regroup_rows
from speechseq.ops.cuda_graph import graph_cache

BINS = 33
OWNERS = (FrameDecoder, AttentionRNN, Speller)  # modules that own graphs
MODELS = {"Tacotron 1": tacotron1(reduction_factor=5), "small Tacotron 2": tacotron2_small()}
FULL_MODELS = {"Tacotron 1": tacotron1(reduction_factor=5), "Tacotron 2": tacotron2()}
TIMES = 3  # eager, captured, replayed
# the order of sums depends on a product's shape; bfloat16 weights are rounded equally in both
LIMITS = {"float32": 1e-3, "bf16": 5e-2, "bfloat16": 1e-3}
SMALL = (Sizes(2, (3, 9), (30, 60)), Sizes(2, (5, 12), (20, 50)))
FULL = (Sizes(16, (60, 140), (300, 800)), Sizes(16, (60, 140), (300, 780)))


def main() -> None:
    """Check Tacotrons and speller, with torch operations and with fused kernels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    device, sizes = torch.device(options.device), FULL if options.full else SMALL
    chosen, wrong = (FULL_MODELS, 0) if options.full else (MODELS, 0)
    for kind in ("torch", "fused") if device.type == "cuda" else ("torch",):
        rounded = ("float32", "bfloat16") if kind == "fused" else ("float32",)
        for name, config in chosen.items():
            does = functools.partial(check, device, functools.partial(tacotron, config))
            for precision in ("float32", "bf16"):
                train = functools.partial(trained, sizes=sizes, device=device, precision=precision)
                wrong += does(f"{name}, train, {kind}, {precision}", train)
            for precision in rounded:
                speak = functools.partial(spoken, sizes=sizes, device=device, precision=precision)
                wrong += does(f"{name}, speak, {kind}, {precision}", speak)
        does = functools.partial(
            check, device, functools.partial(speller, 512 if options.full else 32)
        )
        for precision in ("float32", "bf16"):
            spell = functools.partial(spelled, sizes=sizes, device=device, precision=precision)
            wrong += does(f"speller, train, {kind}, {precision}", spell)
        search = functools.partial(searched, sizes=sizes, device=device)
        wrong += does(f"speller, search, {kind}, float32", search)
    sys.exit(wrong > 0)


def tacotron(config: TacotronConfig) -> Tacotron:
    """Build a Tacotron with random weights."""
    return config.build(symbols=SYMBOLS, mels=MELS, bins=BINS)


def speller(width: int) -> Speller:
    """Build a speller of two layers, whose upper layer queries the attention."""
    attention = LocationSensitiveConfig(dim=width // 4, filters=10, kernel=101, history="previous")
    config = SpellerConfig(embedding=128, layers=2, hidden=width, attention=attention)
    return config.build(SYMBOLS, width)


def check(
    device: torch.device,
    build: Callable[[], nn.Module],
    name: str,
    make: Callable[[Any], list[Tensor]],
) -> bool:
    """Compare the results with and without graphs, and print one line; True if they differ."""
    os.environ["SPEECHSEQ_NATIVE"] = "1" if "fused" in name else "0"
    torch.manual_seed(0)
    model = build().to(device)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", RuntimeWarning)
        expected = asked("0", model, make)  # step by step with torch operations
        before = _gigabytes(device)
        made = asked("1" if device.type == "cuda" else "rehearse", model, make)
    off = max(_off(a, b) for a, b in zip(made, expected, strict=True))
    owners = [part for part in model.modules() if isinstance(part, OWNERS)]
    kept = [graph_cache(owner, device) for owner in owners]
    recorded = sum(len(graphs.replays) for graphs in kept if graphs is not None)
    wrong = not off <= LIMITS[name.split()[-1]] or not recorded
    told = f"{recorded} graphs, {_gigabytes(device) - before:.2f} GB more, off by {off:.1e}"
    print(f"{'WRONG' if wrong else 'right'}  {name}: {told}", flush=True)
    for warning in said:
        print(f"       {warning.message}")
    return wrong


def asked(how: str, model: nn.Module, make: Callable[[Any], list[Tensor]]) -> list[Tensor]:
    """Return the results of `make` with SPEECHSEQ_CUDA_GRAPHS set to `how`."""
    os.environ["SPEECHSEQ_CUDA_GRAPHS"] = how
    return make(model)


def trained(
    model: Tacotron, sizes: tuple[Sizes, ...], device: torch.device, precision: str
) -> list[Tensor]:
    """Train on batches of several lengths, some in one bucket; return outputs and gradients."""
    model.train().zero_grad()
    loss, found = TacotronLoss(TacotronLossConfig()), []
    for turn in range(TIMES * len(sizes)):
        torch.manual_seed(turn % len(sizes))
        batch = _batch(speech(sizes[turn % len(sizes)]), device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            output = model(batch)
        loss(output, batch, update=1).total.backward()
        found += [output.mel_after.detach().clone(), output.alignment.detach().clone()]
    return [*found, *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


def spoken(
    model: Tacotron,
    sizes: tuple[Sizes, ...],
    device: torch.device,
    precision: str = "float32",
) -> list[Tensor]:
    """Speak free-running, with rows that end one after another; return the mels."""
    model.eval()
    torch.manual_seed(0)
    steps = sizes[0].frames[1]
    lengths = torch.linspace(3, sizes[0].tokens[1], sizes[0].batch).long().to(device)
    tokens = torch.randint(1, SYMBOLS, (len(lengths), int(lengths.max())), device=device)
    made = [
        model.generate(tokens, lengths, seed=0, max_steps=steps, precision=precision)
        for _ in range(TIMES)
    ]
    return [x for run in made for x in (run.mel_after, run.alignment)]


def spelled(
    model: Speller, sizes: tuple[Sizes, ...], device: torch.device, precision: str
) -> list[Tensor]:
    """Run a speller teacher-forced over several batches; return outputs and gradients."""
    model.train().zero_grad()
    found = []
    for turn in range(TIMES * len(sizes)):
        tokens, memory, mask = heard(sizes[turn % len(sizes)], model, device, turn % len(sizes))
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            output = model(tokens, memory, mask)
        output.log_probs[..., 4:].float().square().mean().backward()
        found += [output.log_probs.detach()[..., 4:].clone(), output.alignment.detach().clone()]
    return [*found, *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


@torch.inference_mode()
def searched(model: Speller, sizes: tuple[Sizes, ...], device: torch.device) -> list[Tensor]:
    """Search with four hypotheses while utterances end one by one; return the steps' outputs."""
    model.eval()
    found = []
    for _ in range(TIMES):
        tokens, memory, mask = heard(sizes[0], model, device, 0)
        speller = model.prepare()
        state = speller.start(memory, mask)
        width, rows = len(memory), tokens[:, 0]
        for _ in range(2 * len(memory)):
            made = speller.step(rows, state)
            found += [made.log_probs[:, 4:].clone(), made.weights.clone()]
            each, staying = len(rows) // width, max(1, width - 1)
            parents = torch.arange(staying, device=device).repeat_interleave(4) * each
            going = torch.arange(staying, device=device)
            state = regroup_rows(made.state, parents, going)
            rows, width = 4 + torch.arange(4 * staying, device=device) % 40, staying
    return found


def heard(
    sizes: Sizes, model: Speller, device: torch.device, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw random symbols, and a memory with its mask, an eighth as long as the frames."""
    torch.manual_seed(seed)
    positions = lengths(sizes.batch, (sizes.frames[0] // 8, sizes.frames[1] // 8))
    tokens = torch.randint(4, SYMBOLS, (sizes.batch, sizes.tokens[1]))
    memory = torch.randn(sizes.batch, int(positions.max()), model.core.cell.context_dim)
    mask = length_mask(positions, memory.shape[1])
    return tokens.to(device), memory.to(device), mask.to(device)


def _batch(data: Speech, device: torch.device) -> TTSBatch:
    magnitude = torch.randn(*data.mel.shape[:2], BINS)
    return TTSBatch(**data._asdict(), log_magnitude=magnitude).to(device)


def _gigabytes(device: torch.device) -> float:
    """Reserved GPU memory: a graph's memory is not counted as allocated."""
    return torch.cuda.memory_reserved(device) / 2**30 if device.type == "cuda" else 0.0


def _off(made: Tensor, true: Tensor) -> float:
    if made.shape != true.shape:
        return float("inf")
    return float((made - true).abs().max() / true.abs().max().clamp(min=1e-2))  # gradients may be 0


if __name__ == "__main__":
    main()
