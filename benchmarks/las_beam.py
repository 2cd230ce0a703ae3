"""Beam search of a large LAS, for one utterance and a batch, beside a loop over hypotheses.

    python benchmarks/las_beam.py [--quick] [--threads 1] [--rounds 3]

The model is untrained: a listener of a BiLSTM and a pyramid of three, 256 units per direction, 8
frames per position; a speller of two LSTM layers of 512 units with location-sensitive attention.
1,200 frames give 150 positions, and eos is forbidden, so that 150 characters are written. The loop
(naive_beam.py) runs one hypothesis after another, once with a simply written speller on the same
weights, and once with ours. Its time per utterance does not depend on the batch, so it is timed on
one utterance, and it has to find the same transcripts.
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
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))

from naive_beam import naive_beam

from speechseq.inference.search.beam import Beam
from speechseq.inference.search.limits import LimitConfig
from speechseq.inference.search.recognise import recognise
from speechseq.models.las import LAS, LASConfig
from speechseq.models.listener import ListenerConfig
from speechseq.models.speller import Spelled, SpellerConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.text.vocabulary import BLANK, EOS, PAD, SOS

SYMBOLS, FEATURES, SIZE = 34, 80, 8
PLAIN, OWN = "plain loop", "loop over our step"


class Plain:
    """Speller in ordinary torch operations, with the weights of ours, for one utterance.

    There is no padding, so it has no mask. Its state is (context, weights, keys, memory, states of
    the cells).
    """

    def __init__(self, model: LAS) -> None:
        self.speller, self.attention = model.speller, model.speller.core.attention
        self.cells = model.speller.core.cells
        self.kernel = self.attention.filters.weight.shape[2]

    def start(self, memory: Tensor, memory_mask: Tensor) -> tuple[Any, ...]:
        """Return the state before the first step: no weights yet, and zeros in the cells."""
        zeros = [(memory.new_zeros(1, 512), memory.new_zeros(1, 512)) for _ in self.cells]
        weights = memory.new_zeros(memory.shape[:2])
        return (
            memory.new_zeros(1, memory.shape[2]),
            weights,
            self.attention.key(memory),
            memory,
            *zeros,
        )

    def prepare(self) -> Any:
        """Return itself: its steps share nothing."""
        return self

    def step(self, tokens: Tensor, state: tuple[Any, ...]) -> Any:
        """Run one step: LSTM cells, energies, softmax, context, symbols."""
        context, weights, keys, memory, *cells = state
        below, after = torch.cat([self.speller.embedding(tokens), context], 1), []
        for cell, before in zip(self.cells, cells, strict=True):
            parameters = cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh
            after.append(torch.lstm_cell(below, before, *parameters))
            below = after[-1][0]
        located = F.conv1d(
            weights.unsqueeze(1), self.attention.filters.weight, padding=self.kernel // 2
        )
        located = self.attention.location(located.transpose(1, 2))
        hidden = torch.tanh(self.attention.query(below).unsqueeze(1) + keys + located)
        weights = torch.softmax(self.attention.energy(hidden).squeeze(2), dim=1)
        context = torch.bmm(weights.unsqueeze(1), memory).squeeze(1)
        logits = self.speller.symbols(torch.cat([below, context], 1))
        logits[:, [PAD, SOS, BLANK]] = -1e30
        log_probs = torch.log_softmax(logits, dim=1)
        return Spelled(log_probs, weights, (context, weights, keys, memory, *after))


class PlainModel:
    """Recogniser with the plain speller."""

    def __init__(self, model: LAS) -> None:
        self.encode, self.ctc_log_probs, self.speller = (
            model.encode,
            model.ctc_log_probs,
            Plain(model),
        )


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
            f"{row['work']}: {row['ours_seconds']:.3f} s an utterance "
            f"({row['listening_seconds']:.3f} s of it the listener's), {row['peer']} "
            f"{row['theirs_seconds']:.2f} s: {row['ratio']:.1f} times faster; {OWN} "
            f"{row['loop_over_our_step_seconds']:.2f} s: {row['ratio_to_it']:.1f} times; "
            f"{'the same' if row['equal'] else 'ANOTHER'} transcript"
        )
    print(json.dumps(found))


def rows(quick: bool, threads: int, rounds: int = 3) -> list[dict[str, Any]]:
    """Time an utterance at batch sizes 1 and 16, ours and the loop, in turn; return the medians."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    frames, characters, batches = (160, 20, (1, 4)) if quick else (1200, 150, (1, 16))
    model = make_model()
    limit = LimitConfig(tokens_per_position=0.0, at_least=characters)
    beam = Beam(size=SIZE, limit=limit)
    features = torch.randn(max(batches), frames, FEATURES)
    return [_row(model, beam, features[:batch], rounds) for batch in batches]


def make_model() -> LAS:
    """Build an untrained model that never writes eos."""
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
    batch, plain = len(features), PlainModel(model)
    lengths = torch.full((batch,), features.shape[1])
    work: dict[str, Callable[[], Any]] = {
        "ours": lambda: recognise(model, features, lengths, beam),
        "listening": lambda: model.encode(features, lengths),
        PLAIN: lambda: naive_beam(plain, features[0], beam, stop=True)[0].tokens,
        OWN: lambda: naive_beam(model, features[0], beam, stop=True)[0].tokens,
    }
    seconds: dict[str, list[float]] = {name: [] for name in work}
    made: dict[str, Any] = {}
    work["ours"]()  # warms up; the loops are long enough without
    for _ in range(rounds):
        for name, step in work.items():
            start = time.perf_counter()
            made[name] = step()
            seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(own) for name, own in seconds.items()}
    ours, tokens = median["ours"] / batch, list(made["ours"][0][0].tokens)
    return {
        "work": f"batch {batch}, {features.shape[1]} frames, {beam.limit.at_least} characters",
        "ours_seconds": ours,
        "theirs_seconds": median[PLAIN],
        "peer": PLAIN,
        "ratio": median[PLAIN] / ours,
        "listening_seconds": median["listening"] / batch,
        "loop_over_our_step_seconds": median[OWN],
        "ratio_to_it": median[OWN] / ours,
        "equal": tokens == made[PLAIN] == made[OWN],
        "seconds": seconds,
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter speech, fewer utterances")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
