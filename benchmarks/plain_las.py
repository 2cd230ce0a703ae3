"""Straightforward LAS of torch modules, with a choice of BiLSTM."""

from collections.abc import Callable

import torch
from contract import Step
from noise import Recordings
from rows.train_las import FEATURES, SYMBOLS
from torch import Tensor, nn
from torch.nn import functional as F
from updates import plain_update


class PlainLAS(nn.Module):
    """LAS of four BiLSTM layers of 256, two LSTM cells of 512, and location-sensitive attention.

    bilstm: builds a layer from its input width; layers take x (batch, time, width) and lengths.
    """

    def __init__(self, bilstm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(bilstm(width) for width in (FEATURES, 1024, 1024, 1024))
        self.embedding = nn.Embedding(SYMBOLS, 128)
        self.lower, self.upper = nn.LSTMCell(128 + 512, 512), nn.LSTMCell(512, 512)
        self.query, self.key = nn.Linear(512, 128), nn.Linear(512, 128)
        self.filters = nn.Conv1d(1, 10, 101, padding=50, bias=False)
        self.location, self.energy = nn.Linear(10, 128), nn.Linear(128, 1)
        self.symbols = nn.Linear(1024, SYMBOLS)

    def forward(self, x: Tensor, lengths: Tensor, tokens: Tensor) -> Tensor:
        """Run teacher-forced; return logits (batch, tokens, symbols)."""
        for i, layer in enumerate(self.layers):
            if i:
                x = F.pad(x, (0, 0, 0, x.shape[1] % 2))
                x, lengths = x.reshape(len(x), -1, 2 * x.shape[2]), (lengths + 1) // 2
            x = layer(x, lengths)
        mask = torch.arange(x.shape[1], device=x.device) < lengths.unsqueeze(1)
        keys, context = self.key(x), x.new_zeros(len(x), 512)
        weights = x.new_zeros(len(x), x.shape[1])
        lower = upper = (x.new_zeros(len(x), 512), x.new_zeros(len(x), 512))
        outputs = []
        for symbol in F.pad(tokens[:, :-1], (1, 0)).unbind(1):
            lower = self.lower(torch.cat([self.embedding(symbol), context], 1), lower)
            upper = self.upper(lower[0], upper)
            located = self.location(self.filters(weights.unsqueeze(1)).transpose(1, 2))
            hidden = torch.tanh(self.query(upper[0]).unsqueeze(1) + keys + located)
            energies = self.energy(hidden).squeeze(2).masked_fill(~mask, float("-inf"))
            weights = torch.softmax(energies, dim=1)
            context = torch.bmm(weights.unsqueeze(1), x).squeeze(1)
            outputs.append(self.symbols(torch.cat([upper[0], context], 1)))
        return torch.stack(outputs, 1)


def update_of(bilstm: Callable[[int], nn.Module]) -> Callable[[Recordings, torch.device], Step]:
    """Return a builder of a step, which is a training update of a plain LAS."""

    def update(data: Recordings, device: torch.device) -> Step:
        model = PlainLAS(bilstm)

        def forward() -> tuple[Tensor, Tensor]:
            logits = model(data.features, data.feature_lengths, data.tokens)
            return logits, F.cross_entropy(logits.flatten(0, 1), data.tokens.flatten())

        return plain_update(model, forward, device)

    return update
