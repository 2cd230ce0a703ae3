"""Griffin-Lim and log-mels compared with torchaudio and librosa, in turn.

    python benchmarks/signal_speed.py [--quick] [--threads 1] [--rounds 5]

The sounds are gliding harmonics, hiss and pauses, made from a seed. Griffin-Lim is timed at equal
spectral convergence: a peer runs 60 iterations, and ours as many as it needs to come within 0.2 dB
of the same distance. Log-mels are compared with the faster way of a peer, one by one or in a batch.
Seconds are medians for one item. Contenders run in turn, so that the ratios are reliable even if
the seconds are not. A peer takes a few lines in signal_peers.py.
"""

import argparse
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))

from signal_peers import PEERS, SETTINGS, Peer

from speechseq.audio.griffin_lim import griffin_lim, spectral_convergence
from speechseq.audio.mel import log_mel, magnitude

Figures = dict[str, str | int | float]
ITERATIONS, BATCH, ROUNDS = 60, 16, 5
FEW = 8  # number of sounds in the mean convergence
NEAR = 1.025  # tolerance of 0.2 dB; with momentum, the mean of few sounds varies by more


def main() -> None:
    """Print the table, then one JSON line."""
    options = _options()
    print(
        f"{SETTINGS.sample_rate} Hz, n_fft {SETTINGS.n_fft}, hop {SETTINGS.hop}, {options.threads} "
        f"threads, torch {torch.__version__}, {platform.machine()}"
    )
    found = rows(options.quick, options.threads, options.rounds)
    for row in found:
        print(line(row))
    print(json.dumps(found))


def line(row: Figures) -> str:
    """Format one row for printing."""
    ours, theirs = (float(row[name]) * 1e3 for name in ("ours_seconds", "theirs_seconds"))
    text = (
        f"{row['work']:38}{ours:8.2f} ms   {row['peer']:24}{theirs:8.2f} ms {row['ratio']:6.2f} x"
    )
    if "iterations" not in row:
        return text
    near, nearer = row["their_convergence"], row["convergence"]
    return f"{text}   {near:.4f} by {ITERATIONS}, {nearer:.4f} by {row['iterations']} iterations"


def rows(quick: bool, threads: int, rounds: int = ROUNDS) -> list[Figures]:
    """Measure seconds per item of each work, for ours and each peer, and their ratios."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.manual_seed(0)  # peers draw their initial phases from the global generator
    try:
        speech, words = sounds(BATCH, 2.0 if quick else 5.0), sounds(BATCH, 6.0)
        batches = (1,) if quick else (1, BATCH)
        found = [
            row
            for peer in PEERS
            for momentum in (0.99, 0.0)
            for row in inversions(speech, peer, momentum, batches, rounds)
        ]
        return found + hearings(words, rounds)
    finally:
        torch.set_num_threads(before)


def sounds(count: int, seconds: float) -> Tensor:
    """Make speech-like sounds (count, samples): harmonics of a gliding pitch, hiss and pauses."""
    generator = torch.Generator().manual_seed(0)
    time_ = torch.arange(int(seconds * SETTINGS.sample_rate)) / SETTINGS.sample_rate
    hiss = torch.randn(count, len(time_), generator=generator)
    made = []
    for item, noise in enumerate(hiss):
        pitch = 120 + 6 * item + 30 * torch.sin(2 * math.pi * 0.7 * time_ + item)
        phase = 2 * math.pi * pitch.double().cumsum(0) / SETTINGS.sample_rate
        voice = sum(torch.sin(k * phase).float() / k**1.2 for k in range(1, 40))
        syllables = torch.sin(2 * math.pi * 2.3 * time_ + item).clamp(0, 1)
        made.append(0.1 * voice * syllables + 0.005 * noise * syllables.roll(5000) + 2e-4 * noise)
    return torch.stack(made)


def inversions(
    sound: Tensor, peer: Peer, momentum: float, batches: tuple[int, ...], rounds: int
) -> list[Figures]:
    """Time Griffin-Lim on the sounds' magnitudes, at the convergence of the peer."""
    target = magnitude(sound, SETTINGS)
    few = target[:FEW].split(1)
    theirs = distance([peer.griffin_lim(item, ITERATIONS, momentum) for item in few], few)
    ours, count = nearest(theirs, few, momentum)
    found = []
    for batch in batches:
        part = target[:batch]

        def invert(part: Tensor = part) -> Tensor:
            return griffin_lim(part, SETTINGS, iterations=count, momentum=momentum, seed=0)

        def as_they_do(part: Tensor = part) -> Tensor:
            return peer.griffin_lim(part, ITERATIONS, momentum)

        turns = rounds if batch == 1 else max(1, rounds // 2)
        seconds = in_turn([invert, as_they_do], batch, turns)
        row = compared(f"Griffin-Lim, momentum {momentum:g}, batch {batch}", peer.name, *seconds)
        found.append(row | {"iterations": count, "convergence": ours, "their_convergence": theirs})
    return found


def nearest(wanted: float, targets: Sequence[Tensor], momentum: float) -> tuple[float, int]:
    """Return convergence and number of our iterations that reach `wanted`, or the best of all."""
    best = (math.inf, 0)
    for count in range(ITERATIONS - 15, ITERATIONS + 30, 5):
        made = [
            griffin_lim(item, SETTINGS, iterations=count, momentum=momentum, seed=seed)
            for seed, item in enumerate(targets)
        ]
        best = min(best, (distance(made, targets), count))
        if best[0] <= NEAR * wanted:
            break
    return best


def distance(waveforms: Sequence[Tensor], targets: Sequence[Tensor]) -> float:
    """Return the mean spectral convergence; 0 for the target itself."""
    pairs = zip(waveforms, targets, strict=True)
    return statistics.mean(float(spectral_convergence(*pair, SETTINGS)) for pair in pairs)


def hearings(sound: Tensor, rounds: int) -> list[Figures]:
    """Time log-mels of the sounds, one by one and as a batch."""

    def ways(hear: Callable[[Tensor], Tensor]) -> list[Callable[[], object]]:
        return [lambda: [hear(one) for one in sound.split(1)], lambda: hear(sound)]

    everyone = [lambda part: log_mel(part, SETTINGS), *(peer.log_mel for peer in PEERS)]
    seconds = in_turn([way for hear in everyone for way in ways(hear)], len(sound), rounds)
    found = []
    for place, peer in enumerate(PEERS, 1):
        alone, together = seconds[2 * place : 2 * place + 2]
        best = f"{peer.name}, {'one by one' if alone <= together else 'batch'}"
        for work, own in zip(("one by one", f"batch {len(sound)}"), seconds[:2], strict=True):
            row = compared(f"log-mel, {work}", best, own, min(alone, together))
            found.append(row | {"their_one_by_one": alone, "their_batch": together})
    return found


def compared(work: str, peer: str, ours: float, theirs: float) -> Figures:
    """Return a row of the table with a ratio."""
    figures = {"ours_seconds": ours, "theirs_seconds": theirs, "ratio": theirs / ours}
    return {"work": work, "peer": peer, **figures}


def in_turn(works: list[Callable[[], object]], items: int, rounds: int) -> list[float]:
    """Measure the median seconds per item of each work, run in turn after a round to warm up."""
    taken: list[list[float]] = [[] for _ in works]
    for turn in range(rounds + 1):
        for work, own in zip(works, taken, strict=True):
            start = time.perf_counter()
            work()
            if turn:
                own.append((time.perf_counter() - start) / items)
    return [statistics.median(own) for own in taken]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Griffin-Lim of 2 s alone, no batches")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
