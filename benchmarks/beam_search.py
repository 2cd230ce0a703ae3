"""Beam search compared with a naive one, and real-time factors of greedy and beam search.

    python benchmarks/beam_search.py [--quick] [--threads 2] [--seconds 10]

The model is an untrained `las_small` over 40 log-mels every 10 ms. Its eos is forbidden, so that no
search stops early and all emit the same number of characters a second (about that of read English).
The real-time factor is the time of encoder and search divided by the duration of the speech.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))

from naive_beam import naive_beam

from speechseq.inference.search.beam import Beam
from speechseq.inference.search.greedy import Greedy
from speechseq.inference.search.limits import LimitConfig
from speechseq.inference.search.recognise import Strategy, recognise
from speechseq.inference.search.scoring import ScoreConfig
from speechseq.models.las import LAS, las_small
from speechseq.text.vocabulary import EOS

SYMBOLS, FEATURES, FRAMES_A_SECOND = 32, 40, 100


def main() -> None:
    """Print the tables, then one JSON line."""
    options = _options()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    model = make_model()
    print(
        f"las_small, {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters, "
        f"{SYMBOLS} symbols, {options.characters:g} characters a second, {options.threads} "
        f"threads, torch {torch.__version__}, {platform.machine()}"
    )
    results = {"naive": beside_naive(model, options), "real_time": real_time(model, options)}
    print(json.dumps(results))


def make_model() -> LAS:
    """Build an untrained model that never emits eos."""
    model = las_small().build(symbols=SYMBOLS, features=FEATURES).eval()
    with torch.no_grad():
        for parameter in model.speller.parameters():
            parameter.mul_(2.0)
        model.speller.symbols.bias[EOS] -= 1e4
    return model


def beside_naive(model: LAS, options: argparse.Namespace) -> dict[str, float]:
    """Time our beam search of width 10 and the naive one, and compare their transcripts."""
    batch, seconds = (4, 1.0) if options.quick else (16, 2.0)
    features, lengths = speech(batch, seconds)
    limit = limit_of(model, options.characters)
    beam = Beam(size=10, limit=limit)
    ours, found = timed(lambda: recognise(model, features, lengths, beam), options.rounds)

    def plainly() -> list:
        with torch.inference_mode():
            rows = zip(features, lengths, strict=True)
            return [naive_beam(model, row[:length], beam, stop=True)[0] for row, length in rows]

    naive, reference = timed(plainly, 1)
    same = sum(
        list(own[0].tokens) == other.tokens for own, other in zip(found, reference, strict=True)
    )
    print(
        f"beam 10, batch {batch}, {seconds:g} s each: plain {naive:.2f} s, ours {ours:.3f} s, "
        f"{naive / ours:.1f} times faster; {same} of {batch} transcripts equal"
    )
    return {"plain": naive, "ours": ours, "times": naive / ours, "equal": same / batch}


def real_time(model: LAS, options: argparse.Namespace) -> list[dict[str, float | str]]:
    """Measure real-time factors of the strategies at batch sizes 1 and 16."""
    limit = limit_of(model, options.characters)
    strategies: dict[str, Strategy] = {
        "greedy": Greedy(limit=limit),
        "beam 8": Beam(size=8, limit=limit),
        "beam 8, coverage": Beam(size=8, limit=limit, score=ScoreConfig(coverage_weight=0.05)),
    }
    seconds = 3.0 if options.quick else options.seconds
    results: list[dict[str, float | str]] = []
    for name, strategy in strategies.items():
        for batch in (1, 16):
            features, lengths = speech(batch, seconds)

            def run(strategy: Strategy = strategy, given: tuple = (features, lengths)) -> list:
                return recognise(model, *given, strategy)

            taken, found = timed(run, options.rounds)
            spoken = float(lengths.sum()) / FRAMES_A_SECOND
            tokens = sum(len(own[0].tokens) for own in found)
            factor = taken / spoken
            print(
                f"{name:17s} batch {batch:2d}: {spoken:6.1f} s of speech, {tokens:5d} characters, "
                f"{taken:6.2f} s, real-time factor {factor:.4f}"
            )
            results.append({"search": name, "batch": batch, "seconds": taken, "factor": factor})
    return results


def speech(batch: int, seconds: float) -> tuple[Tensor, Tensor]:
    """Draw noise as features; lengths are from three quarters of the duration to all of it."""
    longest = int(seconds * FRAMES_A_SECOND)
    lengths = torch.linspace(longest, 0.75 * longest, batch).long()
    return torch.randn(batch, longest, FEATURES), lengths


def limit_of(model: LAS, characters: float) -> LimitConfig:
    """Limit of tokens for each utterance: `characters` per second of speech."""
    ratio = characters * model.reduction / FRAMES_A_SECOND
    return LimitConfig(tokens_per_position=ratio, at_least=1)


def timed(work: Callable[[], list], rounds: int) -> tuple[float, list]:
    """Median seconds of the rounds, after one to warm up, and the last result."""
    taken, made = [], work() if rounds > 1 else []
    for _ in range(rounds):
        start = time.perf_counter()
        made = work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken), made


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter speech, fewer utterances")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--characters", type=float, default=15.0, help="written a second")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
