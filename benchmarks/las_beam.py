"""Beam search of a large LAS, alone and in a batch, beside a loop over its hypotheses.

    python benchmarks/las_beam.py [--quick] [--threads 1] [--rounds 3]

A listener of a BiLSTM and a pyramid of three, 256 units a direction, factor 8; a speller of two
LSTM layers of 512 units with location-sensitive attention; untrained. 1,200 frames give 150
positions, and eos is forbidden, so that 150 characters are written. The loop (naive_beam.py) takes
as long for each utterance whatever the batch: it is timed on one, and has to find the same.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))

from naive_beam import naive_beam

from speechseq.inference.search.beam import Beam
from speechseq.inference.search.limits import LimitConfig
from speechseq.inference.search.recognise import recognise
from speechseq.models.las import LAS, LASConfig
from speechseq.models.listener import ListenerConfig
from speechseq.models.speller import SpellerConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.text.vocabulary import EOS

SYMBOLS, FEATURES, SIZE = 34, 80, 8
PEER = "a loop over hypotheses"


def main() -> None:
    """Print the table, then one JSON line."""
    options = _options()
    print(
        f"LAS, 3 pyramid layers, 2 × 512 location decoder, beam {SIZE}, {options.threads} threads, "
        f"torch {torch.__version__}, {platform.machine()}"
    )
    found = rows(options.quick, options.threads, options.rounds)
    for row in found:
        print(
            f"{row['work']:34s} {row['ours_seconds']:6.3f} s an utterance "
            f"({row['listening_seconds']:.3f} s of it the listener's), {row['peer']} "
            f"{row['theirs_seconds']:6.2f} s: {row['ratio']:.1f} times faster, "
            f"{'the same' if row['equal'] else 'ANOTHER'} transcript"
        )
    print(json.dumps(found))


def rows(quick: bool, threads: int, rounds: int = 3) -> list[dict[str, Any]]:
    """Medians of seconds an utterance at batch 1 and 16, ours and the loop's, in turn."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    frames, characters, batches = (160, 20, (1, 4)) if quick else (1200, 150, (1, 16))
    model = make_model()
    limit = LimitConfig(tokens_per_position=0.0, at_least=characters)
    beam = Beam(size=SIZE, limit=limit)
    features = torch.randn(max(batches), frames, FEATURES)
    return [_row(model, beam, features[:batch], rounds) for batch in batches]


def make_model() -> LAS:
    """An untrained model that writes anything but eos."""
    attention = LocationSensitiveConfig(dim=128, filters=10, kernel=101, history="previous")
    config = LASConfig(
        listener=ListenerConfig(hidden=256, base_layers=1, pyramid_layers=3),
        speller=SpellerConfig(embedding=128, layers=2, hidden=512, attention=attention),
    )
    model = config.build(symbols=SYMBOLS, features=FEATURES).eval()
    with torch.no_grad():
        for parameter in model.speller.parameters():
            parameter.mul_(2.0)
        model.speller.symbols.bias[EOS] -= 1e4
    return model


@torch.inference_mode()
def _row(model: LAS, beam: Beam, features: Tensor, rounds: int) -> dict[str, Any]:
    batch = len(features)
    lengths = torch.full((batch,), features.shape[1])
    work: list[Callable[[], Any]] = [
        lambda: recognise(model, features, lengths, beam),
        lambda: naive_beam(model, features[0], beam, stop=True),
        lambda: model.encode(features, lengths),
    ]
    seconds: list[list[float]] = [[] for _ in work]
    made: list[Any] = [None] * len(work)
    for turn in range(rounds + 1):
        for i, step in enumerate(work):
            if turn == 0 and i == 1:
                continue  # the loop needs no warming: it is long
            start = time.perf_counter()
            made[i] = step()
            if turn:
                seconds[i].append(time.perf_counter() - start)
    ours, theirs, listening = (statistics.median(own) for own in seconds)
    return {
        "work": f"batch {batch}, {features.shape[1]} frames, {beam.limit.at_least} characters",
        "ours_seconds": ours / batch,
        "theirs_seconds": theirs,
        "peer": PEER,
        "ratio": theirs / (ours / batch),
        "listening_seconds": listening / batch,
        "equal": list(made[0][0][0].tokens) == made[1][0].tokens,
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter speech, fewer utterances")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
