"""One training step of a LAS beside torch modules of the same sizes, written plainly.

    python benchmarks/las_train_step.py [--rounds 3] [--batch 16] [--threads 1] [--frames 1200]

Three BiLSTM layers of 256 units, factor 8, two LSTM layers of 512, location-sensitive attention.
The plain one packs its sequences for exact lengths, as is usual, and steps nn.LSTMCell; both make
the same number of products. Quote the ratio of the medians.
"""

import argparse
import platform
import sys
from collections.abc import Callable

import torch
from in_turn import compare, report, serve
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

CONTENDERS = ("speechseq", "plain torch")
FEATURES, SYMBOLS = 80, 34


def main() -> None:
    """Run the rounds and print the table."""
    options = _options()
    if options.worker:
        return work(options)
    measured = compare([sys.executable, __file__, *sys.argv[1:]], CONTENDERS, options.rounds)
    title = (
        f"training step, LAS, batch {options.batch}, {options.frames} frames, {options.characters} "
        f"characters, {options.threads} threads, {options.rounds} rounds, torch "
        f"{torch.__version__}, {platform.machine()}"
    )
    return report(title, *CONTENDERS, measured)


def work(options: argparse.Namespace) -> None:
    """Answer each line on standard input with one timed step."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    lengths = torch.randint(options.frames // 2, options.frames + 1, (options.batch,))
    lengths[0] = options.frames
    tokens = torch.randint(4, SYMBOLS, (options.batch, options.characters))
    features = torch.randn(options.batch, options.frames, FEATURES)
    make = {"speechseq": ours, "plain torch": plain}[options.worker]
    model, loss = make(features, lengths, tokens)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    serve(step)


def ours(
    features: Tensor, lengths: Tensor, tokens: Tensor
) -> tuple[nn.Module, Callable[[], Tensor]]:
    """speechseq's model, and its loss on the batch."""
    from speechseq.batch import ASRBatch
    from speechseq.models.las import LASConfig
    from speechseq.models.las_loss import LASLoss, LASLossConfig
    from speechseq.models.listener import ListenerConfig
    from speechseq.models.speller import SpellerConfig
    from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig

    config = LASConfig(
        listener=ListenerConfig(hidden=256, base_layers=1, pyramid_layers=3),
        speller=SpellerConfig(
            embedding=128,
            layers=2,
            hidden=512,
            attention=LocationSensitiveConfig(dim=128, filters=10, kernel=101, history="previous"),
        ),
    )
    model = config.build(symbols=SYMBOLS, features=FEATURES)
    batch = ASRBatch(
        features=features,
        feature_lengths=lengths,
        tokens=tokens,
        token_lengths=torch.full((len(tokens),), tokens.shape[1]),
    )
    criterion = LASLoss(LASLossConfig())
    return model, lambda: criterion(model(batch), batch).total


class Plain(nn.Module):
    """A LAS as one writes it the first time."""

    def __init__(self) -> None:
        super().__init__()
        widths = (FEATURES, 1024, 1024, 1024)
        self.layers = nn.ModuleList(
            nn.LSTM(width, 256, batch_first=True, bidirectional=True) for width in widths
        )
        self.embedding = nn.Embedding(SYMBOLS, 128)
        self.lower, self.upper = nn.LSTMCell(128 + 512, 512), nn.LSTMCell(512, 512)
        self.query, self.key = nn.Linear(512, 128), nn.Linear(512, 128)
        self.filters = nn.Conv1d(1, 10, 101, padding=50, bias=False)
        self.location, self.energy = nn.Linear(10, 128), nn.Linear(128, 1)
        self.symbols = nn.Linear(1024, SYMBOLS)

    def forward(self, x: Tensor, lengths: Tensor, tokens: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers):
            if i:
                x = F.pad(x, (0, 0, 0, x.shape[1] % 2))
                x, lengths = x.reshape(len(x), -1, 2 * x.shape[2]), (lengths + 1) // 2
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            x, _ = pad_packed_sequence(layer(packed)[0], batch_first=True)
        mask = torch.arange(x.shape[1]) < lengths.unsqueeze(1)
        context, weights = x.new_zeros(len(x), 512), x.new_zeros(len(x), x.shape[1])
        lower = upper = (x.new_zeros(len(x), 512), x.new_zeros(len(x), 512))
        outputs = []
        for symbol in F.pad(tokens[:, :-1], (1, 0)).unbind(1):
            lower = self.lower(torch.cat([self.embedding(symbol), context], 1), lower)
            upper = self.upper(lower[0], upper)
            located = self.location(self.filters(weights.unsqueeze(1)).transpose(1, 2))
            hidden = torch.tanh(self.query(upper[0]).unsqueeze(1) + self.key(x) + located)
            energies = self.energy(hidden).squeeze(2).masked_fill(~mask, float("-inf"))
            weights = torch.softmax(energies, dim=1)
            context = torch.bmm(weights.unsqueeze(1), x).squeeze(1)
            outputs.append(self.symbols(torch.cat([upper[0], context], 1)))
        return torch.stack(outputs, 1)


def plain(
    features: Tensor, lengths: Tensor, tokens: Tensor
) -> tuple[nn.Module, Callable[[], Tensor]]:
    """The plain model, and its loss on the batch."""
    model = Plain()
    return model, lambda: F.cross_entropy(
        model(features, lengths, tokens).flatten(0, 1), tokens.flatten()
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=1200)
    parser.add_argument("--characters", type=int, default=150)
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
